"""notification-service: mail to customers, which it queues."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from fastapi import FastAPI, HTTPException
from fastapi.responses import RedirectResponse

from . import defects, health, settings
from .postgres import Postgres, Row


@dataclass
class Mail:
    to_emails: list[str]
    template_name: str
    template_variables: dict[str, str] = field(default_factory=dict)


def add(app: FastAPI) -> None:
    """The routes of notification-service; its /health is a router's, so it ends with a slash."""
    postgres = Postgres(settings.database())
    leads_to = "/api/v1/health/" if defects.on("changed-redirect") else "/health/"
    said = health.said()
    app.add_api_route("/health", lambda: RedirectResponse(leads_to, 307))
    app.add_api_route("/health/", lambda: said)

    def templates() -> Row:
        found = postgres.rows("select name, subject from email_templates order by name")
        return {"templates": found, "total": len(found)}

    def send(mail: Mail) -> Row:
        statement = "select id from email_templates where name = %s"
        template = postgres.row(statement, mail.template_name)
        if template is None:
            raise HTTPException(404, f"Template '{mail.template_name}' not found")
        for to in mail.to_emails:
            values = template["id"], to, json.dumps(mail.template_variables)
            insert = (
                "insert into email_queue (template_id, recipient, variables) values (%s, %s, %s)"
            )
            postgres.rows(insert, *values)
        return {"success": True, "message": "Email queued for sending", "status": "queued"}

    def history(recipient: str) -> Row:
        statement = (
            "select t.name as template, q.sent_at is not null as sent from email_queue q"
            " join email_templates t on t.id = q.template_id where recipient = %s order by q.id"
        )
        found = postgres.rows(statement, recipient)
        return {"emails": found, "total": len(found)}

    def forget(recipient: str) -> Row:
        gone = postgres.rows("delete from email_queue where recipient = %s returning id", recipient)
        return {"success": True, "deleted": len(gone)}

    app.add_api_route("/api/v1/templates/", templates)
    app.add_api_route("/api/v1/emails/send-template", send, methods=["POST"])
    app.add_api_route("/api/v1/emails/history", history)
    app.add_api_route("/api/v1/emails/history", forget, methods=["DELETE"])
