-- Mail to customers.
create extension "uuid-ossp";
set role database_service;
create table email_templates (
    id serial primary key,
    name text not null unique,
    subject text not null,
    body text not null default ''
);
create table email_queue (
    id bigserial primary key,
    template_id integer not null references email_templates,
    recipient text not null,
    variables json,
    attempts smallint not null default 0,
    sent_at timestamptz
);
create index email_queue_waiting on email_queue (template_id) where sent_at is null;
