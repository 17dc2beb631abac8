-- Who may sign in.
create extension "uuid-ossp";
create extension pgcrypto;
create extension pg_trgm;
set role auth_service;
create table users (
    id uuid primary key default uuid_generate_v4(),
    email text not null,
    password_hash text not null,
    full_name text,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    constraint users_email_form check (email like '%@%')
);
create unique index users_email on users (lower(email));
create index users_full_name on users using gin (full_name gin_trgm_ops);
create table user_sessions (
    id bigserial primary key,
    user_id uuid not null references users on delete cascade,
    token text not null unique,
    address inet,
    agent text,
    expires_at timestamptz not null
);
create table password_resets (
    id bigserial primary key,
    user_id uuid not null references users on delete cascade,
    token_sha256 bytea not null unique,
    used boolean not null default false
);
create table email_verification_tokens (
    id bigserial primary key,
    user_id uuid not null references users on delete cascade,
    token uuid not null default gen_random_uuid(),
    verified_at timestamptz
);
grant select on users to readonly_user;
grant select (id, email) on users to billing_service;
