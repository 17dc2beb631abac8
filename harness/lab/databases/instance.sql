-- Which customer's instance is where.
create extension "uuid-ossp";
set role instance_service;
create table db_servers (
    id uuid primary key,
    name text not null unique,
    host text not null,
    port integer not null default 5432 check (port between 1 and 65535),
    kind text not null check (kind in ('pool', 'dedicated')),
    instances_max integer not null
);
create table instances (
    id uuid primary key,
    customer_id uuid not null,
    name text not null,
    database_name text not null unique,
    db_server_id uuid not null references db_servers,
    status text not null default 'creating',
    cpu_limit numeric(4, 2) not null default 1,
    memory_limit text not null default '2Gi',
    addons text[] not null default '{}',
    subdomain text,
    subscription_id uuid,
    storage_limit text not null default '10G',
    db_type text not null default 'shared' check (db_type in ('shared', 'dedicated')),
    provisioning_status text not null default 'completed',
    error_message text,
    created_at timestamp without time zone not null,
    updated_at timestamptz not null default now()
);
create function touched() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end
$$;
create trigger instances_touched before update on instances
    for each row execute function touched();
create view running_instances as
    select id, name, database_name from instances where status = 'running';
grant select on running_instances to readonly_user;
grant select, update on instances to database_service;
grant select, insert, delete on db_servers to database_service;
