-- What happened, for reports; a table without a key, in parts.
create extension tablefunc;
set role database_service;
create table events (
    happened_at timestamptz not null,
    kind text not null,
    customer_id uuid,
    seconds double precision
) partition by range (happened_at);
create table events_2025 partition of events
    for values from ('2025-01-01 00:00:00+00') to ('2026-01-01 00:00:00+00');
create table events_2026 partition of events
    for values from ('2026-01-01 00:00:00+00') to ('2027-01-01 00:00:00+00');
create index events_kind on events (kind);
grant select on events to readonly_user;
