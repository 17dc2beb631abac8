-- KillBill: the accounts of customers, and the money.
-- A server that starts for this script alone reads its users only then.
flush privileges;
create user killbill identified by 'killbill of the lab';
grant all on killbill.* to killbill;
create database killbill character set utf8mb4 collate utf8mb4_bin;
use killbill;
create table accounts (
    record_id bigint unsigned not null auto_increment primary key,
    id char(36) not null unique,
    external_key varchar(255) not null unique,
    email varchar(128),
    name varchar(100),
    currency varchar(3) not null,
    created_date datetime not null
);
create table subscriptions (
    record_id bigint unsigned not null auto_increment primary key,
    id char(36) not null unique,
    account_record_id bigint unsigned not null,
    plan varchar(255) not null,
    state varchar(32) not null,
    charged_through_date datetime,
    foreign key (account_record_id) references accounts (record_id)
);
create table invoices (
    record_id bigint unsigned not null auto_increment primary key,
    id char(36) not null unique,
    account_record_id bigint unsigned not null,
    invoice_date date not null,
    status varchar(15) not null default 'COMMITTED',
    foreign key (account_record_id) references accounts (record_id)
);
create table invoice_items (
    record_id bigint unsigned not null auto_increment primary key,
    invoice_record_id bigint unsigned not null,
    subscription_record_id bigint unsigned,
    description varchar(255),
    amount numeric(15, 9) not null,
    currency varchar(3) not null,
    foreign key (invoice_record_id) references invoices (record_id)
);
create table tenant_kvs (
    record_id bigint unsigned not null auto_increment primary key,
    tenant_key varchar(255) not null,
    tenant_value text not null
);
insert into tenant_kvs (tenant_key, tenant_value) values
    ('PUSH_NOTIFICATION_CB', 'http://billing-service:8004/api/billing/webhooks/killbill');
