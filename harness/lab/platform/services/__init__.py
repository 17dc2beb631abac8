"""The platform that is migrated, in small: one program, whose part PART names.

The same code runs as services of Docker Swarm, as Deployments of Kubernetes, and as processes of
one computer. Names, ports, routes and answers are the real platform's. Bodies and answers are JSON;
an error is `{"detail": …}`, of user-service `{"error": true, "message": …, "status_code": …}`.
Behind the ingress, `api.DOMAIN` has each under its prefix, which is stripped: /user /instance
/billing /database. Every answer has the header X-Service-Version.

PART=user, 8001
    GET    /health                      static {"status": "healthy", …}
    GET    /health/database             asks PostgreSQL; 503 when it cannot
    POST   /auth/register               {email, password, first_name?, last_name?} -> 201
                                        {success, message, customer: {id, email, …}}; 409 if known
    POST   /auth/login                  {email, password} -> {success, message, customer: {id, …},
                                        tokens: {access_token, token_type, expires_in}}, and the
                                        cookie session_token (Secure, HttpOnly, Lax); else 401
    GET    /auth/me, /users/profile     Authorization: Bearer TOKEN, or the cookie -> {id, email,
                                        first_name, last_name, status}; else 401
    POST   /auth/logout                 -> {success, message}
    DELETE /users/account?confirmation=DELETE   removes the customer for good, in billing too
    GET    /users/internal/ID           for the other parts

PART=billing, 8004
    GET    /health, /health/database
    GET    /api/billing/plans/          {success, plans: [{plan, cpu_limit, memory_limit, …}]}
    POST   /api/billing/accounts/       {customer_id, email, name?}; user-service calls it
    POST   /api/billing/instances/      {customer_id, name, database_name, admin_email,
                                        admin_password, plan_name?: basic-monthly | standard-… |
                                        premium-…, storage_limit?: "10G", memory_limit?, cpu_limit?}
                                        -> {success, subscription_id, invoice: {id, amount,
                                        currency}, message}; nothing is made until it is paid
    POST   /api/billing/payments/       {customer_id, invoice_id} -> {success, payment: {status:
                                        "SUCCESS", events: N}}; by then the instance is created and
                                        its provisioning begun. N webhooks were called: 1 is right
    POST   /api/billing/webhooks/killbill   {eventType, accountId, objectId}
    GET    /api/billing/invoices/CUSTOMER       {success, invoices: [{id, status, amount}], total}
    GET    /api/billing/subscriptions/CUSTOMER  {success, subscriptions: [{subscription_id,
                                        plan_name, status}], subscription_count}
    DELETE /api/billing/subscriptions/subscription/ID   cancels
    DELETE /api/billing/accounts/CUSTOMER       removes everything that was booked

PART=instance, 8003; STATUS is creating, running, stopping, stopped, starting, restarting,
maintenance or error; provisioning_status is pending, provisioning, completed or failed
    GET    /health, /health/database
    POST   /api/v1/instances/           {customer_id, subscription_id, name, database_name (a-z0-9,
                                        31 at most), admin_email, admin_password, storage_limit?:
                                        "10G", memory_limit?, cpu_limit?} -> 201 INSTANCE
    GET    /api/v1/instances/?customer_id=ID[&page=1&page_size=10]   {instances: [INSTANCE …],
                                        total, page, page_size}
    GET    /api/v1/instances/ID         INSTANCE: {id, customer_id, subscription_id, name,
                                        database_name, db_name: "odoo_NAME_ID8", status,
                                        provisioning_status, storage_limit, memory_limit, cpu_limit,
                                        db_type: shared | dedicated, error_message, …}; else 404
    GET    /api/v1/instances/by-subscription/ID
    GET    /api/v1/instances/check-subdomain/NAME   {subdomain, available, message}
    PUT    /api/v1/instances/ID         {storage_limit?, db_type?} -> INSTANCE
    POST   /api/v1/instances/ID/provision   {} -> {status: success | skipped, message, job_id}
    POST   /api/v1/instances/ID/actions {action: start | stop | restart | backup | restore,
                                        parameters: {name?} | {backup_id}} -> {instance_id, action,
                                        status: "queued", message, job_id, backup_id?}; 400 if the
                                        status does not allow it. Ended when the status is running
                                        or stopped again; error: error_message says why
    POST   /api/v1/instances/ID/apply-resources   storage as booked; with db_type dedicated on a
                                        shared server: status "migrating", the database is moved
    GET    /api/v1/instances/ID/status  {status, provisioning_status, error_message, external_url,
                                        internal_url}
    GET    /api/v1/instances/ID/backups {backups: [{backup_id, status, …}], total_backups}
    DELETE /api/v1/instances/ID         -> {message}; the backups stay

    As objects: Swarm service `odoo-NAME-ID8`, folder odoo_instances/odoo_data_NAME_ID8 with quota.
    Kubernetes Deployment and Ingress `odoo-NAME-ID8`, Service `odoo-NAME-ID8-service`, claim
    `odoo-instance-<32 hex>`; labels app=odoo, instance=odoo-NAME-ID8. Database and role
    `odoo_NAME_ID8`. Host NAME.DOMAIN. Backup: active/BACKUP_database.sql, BACKUP_data.tar.gz and
    BACKUP_metadata.json.

PART=odoo, 8069: an instance
    GET    /                            reads the database: "Odoo of NAME: 1 partners"
    GET    /web/health                  static
    GET    /web/database                {parameters: {"database.uuid", "database.is_neutralized"},
                                        attachments: {NAME: SHA-1}, active_crons, server}
    PUT    /web/content/FILE any bytes -> {name, checksum, size}; 507 when storage is full
    GET    /web/content/FILE            the bytes; else 404

PART=database, 8005
    GET    /health                      static; /health/database says healthy without looking
    POST   /api/database/allocate {instance_id, customer_id, plan_tier} -> {status, db_host, …}
    POST   /api/database/provision-dedicated   the same; plan_tier premium | enterprise -> {status:
                                        "provisioned", db_server_id, db_host}; answers when the
                                        server does: StatefulSet and Service
                                        `postgres-dedicated-<customer's first 8>`, labels
                                        app=postgres, database=that name, claim data-…-0
    GET    /api/database/admin/servers  {servers: [{name, host, port, kind, instances}], total}
    DELETE /api/database/admin/servers/NAME   a dedicated one, with its data; 409 while it is used

PART=notification, 5000
    GET    /health                      307 to /health/
    GET    /api/v1/templates/           {templates: [{name, subject}], total}
    POST   /api/v1/emails/send-template {to_emails, template_name, template_variables?}; queued
    GET    /api/v1/emails/history?recipient=MAIL   {emails: [{template, sent}], total}
    DELETE /api/v1/emails/history?recipient=MAIL

PART=frontend, 3000: one page with the forms register, login and book; it calls api.DOMAIN.

As processes, with Debian's python3-fastapi, -uvicorn, -psycopg, -redis and -pymysql::

    cd harness/lab/platform; PART=user python3 -m services

with the variables of settings.py; harness/tests/platform_processes.py starts all of them with
servers of their own. What may be wrong on purpose is in defects.py.
"""
