-- A customer's instance, as far as Odoo's own tables matter to a backup.
create extension pg_trgm;
set role database_service;
create table res_partner (
    id serial primary key,
    name varchar not null,
    email varchar,
    credit numeric,
    active boolean default true,
    write_date timestamp without time zone
);
create index res_partner_name on res_partner using gin (name gin_trgm_ops);
create table res_users (
    id serial primary key,
    login varchar not null unique,
    password varchar,
    partner_id integer not null references res_partner on delete restrict,
    active boolean default true
);
create table ir_config_parameter (
    id serial primary key,
    key varchar not null unique,
    value text not null
);
create table ir_cron (
    id serial primary key,
    cron_name varchar not null,
    active boolean,
    interval_number integer not null,
    interval_type varchar not null,
    nextcall timestamp without time zone not null
);
create table ir_module_module (
    id serial primary key,
    name varchar not null unique,
    state varchar(16),
    latest_version varchar
);
create table ir_attachment (
    id serial primary key,
    name varchar not null,
    res_model varchar,
    res_id integer,
    type varchar not null,
    store_fname varchar,
    checksum varchar(40),
    file_size integer,
    mimetype varchar,
    db_datas bytea,
    url varchar(1024)
);
create index ir_attachment_store_fname on ir_attachment (store_fname);
