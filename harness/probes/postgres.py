"""The platform's PostgreSQL: settings of each instance and of its operator, pods, answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from harness.core.errors import Garbled, NotFound, NotProven
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.facts.postgres import POSTGRES, Instance
from harness.facts.postgres import Postgres as Seen
from harness.facts.schema import Unknown, attempt, dump, read
from harness.probes.postgres_pods import answers, running
from harness.probes.probe import Timing
from harness.probes.services import pods_of
from harness.settings.databases import Postgres as Declared
from harness.transport import Kube, Reach
from harness.transport.objects import must, part

_WITHIN_S = 20.0
# One line of JSON; `Instance` has its shape. In the place of {} are names of settings.
_ASK = """\
select json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'system', (select system_identifier::text from pg_control_system()),
  'folders', (
    select json_agg(folder) from (
      select current_setting('data_directory')
      union all select current_setting('data_directory') || '/pg_wal'
      union all select pg_tablespace_location(oid) from pg_tablespace
    ) all_folders(folder) where folder <> ''
  ),
  'declared', (
    select coalesce(json_object_agg(
      name, json_build_object('setting', current_setting(name), 'source', source)), '{{}}')
    from pg_settings where name in ({})
  ),
  'settings', (
    select json_object_agg(name, json_build_object('setting', setting, 'source', source))
    from pg_settings
    where name in ('synchronous_standby_names', 'synchronous_commit', 'fsync', 'full_page_writes')
  ),
  'overrides', (
    select coalesce(json_agg(json_build_object(
      'role', coalesce(r.rolname, ''), 'database', coalesce(d.datname, ''), 'setting', one
    ) order by 1::text), '[]')
    from pg_db_role_setting s
    left join pg_roles r on r.oid = s.setrole
    left join pg_database d on d.oid = s.setdatabase
    cross join unnest(s.setconfig) one
    where one like 'synchronous_commit=%'
  )
)"""
_CLUSTERS = "/apis/postgresql.cnpg.io/v1/namespaces/{space}/clusters/{name}"
# Patroni keeps its configuration as an annotation of one of these, SCOPE-config.
_PATRONI = ("endpoints", "configmaps")


class Postgres:
    """Asks every instance with psql, and by name from a pod; reads pods and operator."""

    name: ClassVar[str] = POSTGRES.name
    sentence: ClassVar[str] = "every PostgreSQL of the platform"
    timing: ClassVar[Timing] = Timing.AT_START
    within_s: ClassVar[float] = 60.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        declared = reach.profile.postgres
        if declared is None:
            raise NotProven("the profile declares no PostgreSQL", remedy="declare `postgres:`")
        pods = pods_of(reach.kube, declared.namespace, declared.selector)
        found = in_each(pods, partial(_instance, reach.kube, declared))
        instances = {
            name: it if isinstance(it, Instance) else Unknown(str(it)) for name, it in found.items()
        }
        return dump(
            Seen(
                instances,
                attempt(partial(_of_operator, reach.kube, declared)),
                attempt(partial(running, reach.kube, declared, instances)),
                attempt(partial(answers, reach.kube, declared.answers)),
            )
        )


def _instance(kube: Kube, declared: Declared, pod: str) -> Instance:
    """What one PostgreSQL answers; NotProven if psql does not end well, Garbled for nonsense."""
    # A profile's names of settings hold no quotes; without any, none has the empty name.
    names = ", ".join(f"'{it}'" for it in declared.settings or ("",))
    command = (*declared.psql, "-XAtqc", _ASK.format(names))
    done = kube.exec(declared.namespace, pod, command, within_s=_WITHIN_S)
    if done.status != 0:
        said = done.stderr.strip()[-200:]
        raise NotProven(f"psql in {pod} ended with status {done.status}: {said}")
    return read(Instance, _as_json(pod, done.stdout))


def _as_json(place: str, words: str) -> object:
    try:
        return json.loads(words)
    except ValueError as error:
        raise Garbled(f"{place}: not JSON: {words[:80]!r}") from error


def _of_operator(kube: Kube, declared: Declared) -> Mapping[str, str] | None:
    """The settings of synchronous replication that the operator was given, by its own names."""
    if declared.operator is None:
        return None
    if declared.operator == "cloudnative-pg":
        path = _CLUSTERS.format(space=declared.namespace, name=declared.cluster)
        spec = part(kube.get(path), "spec")
        asked = {key: spec.get(key) for key in ("minSyncReplicas", "maxSyncReplicas")}
        asked |= part(spec, "postgresql", "synchronous")
    else:
        held = must(_patroni(kube, declared), "metadata", "annotations", "config")
        told = part(_as_json("Patroni's configuration", held))
        asked = {key: it for key, it in told.items() if key.startswith("synchronous_")}
    return {key: _word(it) for key, it in asked.items() if it is not None}


def _patroni(kube: Kube, declared: Declared) -> object:
    for kind in _PATRONI:
        path = f"/api/v1/namespaces/{declared.namespace}/{kind}/{declared.cluster}-config"
        try:
            return kube.get(path)
        except NotFound:
            continue
    raise NotProven(f"there is no {' and no '.join(_PATRONI)} {declared.cluster}-config")


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
