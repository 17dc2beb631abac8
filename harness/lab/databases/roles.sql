-- The roles of the platform's services, as its first start makes them.
create role auth_service login password 'auth_service of the lab';
create role billing_service login password 'billing_service of the lab';
create role instance_service login password 'instance_service of the lab';
create role database_service login createdb password 'database_service of the lab';
create role readonly_user login connection limit 20 password 'readonly_user of the lab';
create role backup_user login replication password 'backup_user of the lab';
grant pg_read_all_data to backup_user;
grant pg_monitor to readonly_user;
alter role readonly_user set statement_timeout = '5min';
