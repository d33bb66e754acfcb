"""Publishing a set of rules: whole, with its commit, checked, audited, one at a time, and back again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from soc.config import Config, StoreSettings, cache_folder
from soc.detect.releases import publish, published
from soc.detect.releases.published import BLOB, CURRENT, HEAD, SET, PublishedRules
from soc.detect.ruleset import ruleset_for
from soc.detect.sweep import Start
from soc.detect.sweep_job import SweepJob
from soc.errors import ConflictError, ContentError, SocError, UsageError
from soc.respond import audit
from soc.store import open_store
from soc.store.contract import Store, Write
from tests.detect import rules
from tests.detect.releases.test_importer import git_in
from tests.detect.world import append, event, open_at

A, B, C = (f"{n}c6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b90" for n in "123")


def write_rule(path: Path, id_: str, title: str, value: str = "cmd=") -> None:
    """A rule on the requests of a web server."""
    detection = f"s: {{url.query|contains: '{value}'}}\ncondition: s"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = rules.text(detection, title=title, id=id_, logsource="{category: webserver}")
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A content repository with two own rules in a commit."""
    folder = tmp_path / "content"
    write_rule(folder / "rules" / "a.yml", A, "A")
    write_rule(folder / "rules" / "upstream" / "sigmahq" / "b.yml", B, "B", "b")
    (folder / "rules" / "upstream" / "sigmahq" / "manifest.json").write_text("{}")
    (folder / "rules" / "samples").mkdir()
    (folder / "rules" / "samples" / "a.yml").write_text(
        "cases: [{name: one, expect: fires, collector: nginx, lines: [x]}]\n"
    )
    git_in(folder, "init", "-q")
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    """Commit everything; the commit."""
    git_in(folder, "add", "-A")
    git_in(folder, "commit", "-qm", "change")
    from soc.detect.releases.git import require_checkout

    return require_checkout(folder).commit


@pytest.fixture
def config(tmp_path: Path, repository: Path) -> Config:
    """The configuration of whoever publishes."""
    return Config(None, StoreSettings(str(tmp_path / "store")), rules=(repository / "rules",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The store that everybody shares."""
    with open_at(tmp_path / "store") as opened:
        yield opened


def draft(config: Config, store: Store, *, allow_dirty: bool = False) -> publish.Draft:
    """What would be published now."""
    return publish.draft(config, store, cache_folder(), allow_dirty=allow_dirty)


def changes(made: publish.Draft | publish.Return) -> list[tuple[str, str]]:
    """Kind and title of each change."""
    return [(change.kind, change.rule.title) for change in made.changes]


def test_a_set_comes_back_as_it_was_with_its_commit(config: Config, store: Store, repository: Path) -> None:
    """Rules, pipelines, selection, overrides: what sweepers load means what the author's files mean."""
    (repository / "rules" / "selection.yml").write_text(f"exclude: [{{id: {B}}}]\n")
    (repository / "rules" / "overrides.yml").write_text(
        f"overrides: [{{match: {{id: {A}}}, set: {{level: critical, mode: shadow}}}}]\n"
    )
    (repository / "rules" / "pipelines").mkdir()
    (repository / "rules" / "pipelines" / "own.yml").write_text(
        "name: own\nlogsource: {category: webserver}\nmappings: [{fields: {Odd: url.path}}]\n"
    )
    (repository / "rules" / "lists").mkdir()
    (repository / "rules" / "lists" / "robots.txt").write_text("curl\n")
    text = rules.text("s: {url.path|expand: ['%robots%', '%ours%']}\ncondition: s", title="C", id=C)
    (repository / "rules" / "c.yml").write_text(text.replace("category: test", "category: webserver"))
    config = replace(config, placeholders={"ours": ("wget",)})  # stands in the author's soc.yml alone
    head = commit(repository)
    made = draft(config, store)
    release = publish.publish(store, made)
    assert (release.number, release.commit, release.dirty, release.by) == (1, head, False, store.whoami())
    found = PublishedRules(store, cache_folder()).load()
    ours = ruleset_for(config)
    assert {r.id: (r.version, r.level, r.mode, r.off, r.origin) for r in found.rules} == {
        r.id: (r.version, r.level, r.mode, r.off, r.origin) for r in ours.rules
    }
    assert found.commit == head
    assert "wget" in repr(found.by_id[C].predicate)
    assert {rule.commit for rule in found.rules} == {head}
    assert published.shown_path(found.by_id[A].path) == "rules/a.yml"
    assert not list((cache_folder() / "published").rglob("samples"))
    assert audit.verify(store).ok
    (entry,) = audit.entries(store)
    assert (entry.action, entry.subject) == ("rule.publish", head)


def test_what_changes_for_the_rules_is_told(config: Config, store: Store, repository: Path) -> None:
    """New, changed, removed, selected, in shadow, other settings: against what is published."""
    publish.publish(store, draft(config, store))
    assert draft(config, store).same
    own = repository / "rules"
    write_rule(own / "a.yml", A, "A", "changed")
    write_rule(own / "c.yml", C, "C", "c")
    (own / "overrides.yml").write_text(
        f"overrides: [{{match: {{id: {B}}}, set: {{mode: shadow, window: 2h}}}}]\n"
    )
    commit(repository)
    made = draft(config, store)
    assert sorted(changes(made)) == [("changed", "A"), ("new", "C"), ("settings", "B"), ("shadow", "B")]
    assert publish.tally(made.changes) == "1 new, 1 changed, 1 to shadow, 1 settings"
    publish.publish(store, made)
    (own / "overrides.yml").write_text(f"overrides: [{{match: {{id: {B}}}, set: {{mode: off}}}}]\n")
    (own / "c.yml").unlink()
    commit(repository)
    made = draft(config, store)
    assert sorted(changes(made)) == [("off", "B"), ("removed", "C"), ("settings", "B")]


def test_publishing_again_after_one_change_writes_little(
    config: Config, store: Store, repository: Path
) -> None:
    """Of a large set, one changed file costs its text and one part of the list of files."""
    for number in range(150):
        id_ = f"{number:08x}-0d3e-4f41-9a57-0c2f6d1e8b90"
        write_rule(repository / "rules" / "many" / f"r{number}.yml", id_, f"Rule {number}", f"v{number}")
    commit(repository)
    publish.publish(store, draft(config, store))
    before = {d.id for d in store.find(BLOB)}
    write_rule(repository / "rules" / "a.yml", A, "A", "changed")
    commit(repository)
    publish.publish(store, draft(config, store))
    new = [d for d in store.find(BLOB) if d.id not in before]
    assert len(new) == 2
    assert sum(len(d.body["text"]) for d in new) < 3_000
    assert all(d.version == 1 for d in store.find(BLOB))


def test_changes_that_are_in_no_commit_are_refused_or_recorded(
    config: Config, store: Store, repository: Path
) -> None:
    """An edited, a new and an ignored file: nobody could tell later what was published."""
    (repository / ".gitignore").write_text("ignored.yml\n")
    commit(repository)
    write_rule(repository / "rules" / "ignored.yml", C, "C", "c")
    with pytest.raises(UsageError, match=r"in no commit.*rules/ignored\.yml"):
        draft(config, store)
    (repository / "rules" / "ignored.yml").unlink()
    (repository / "unrelated.txt").write_text("not a rule")
    draft(config, store)
    write_rule(repository / "rules" / "a.yml", A, "A", "edited")
    with pytest.raises(UsageError, match=r"rules/a\.yml"):
        draft(config, store)
    release = publish.publish(store, draft(config, store, allow_dirty=True))
    assert release.dirty
    assert release.label.endswith("+changes")
    assert PublishedRules(store, cache_folder()).load().by_id[A].commit == release.label
    (entry,) = audit.entries(store)
    assert entry.detail["in no commit"] == ["rules/a.yml"]


def test_broken_rules_are_refused(config: Config, store: Store, repository: Path) -> None:
    """A rule that cannot be loaded, or that can never fire, is not published; nothing is written."""
    (repository / "rules" / "broken.yml").write_text("title: [\n")
    commit(repository)
    with pytest.raises(ContentError):
        draft(config, store)
    (repository / "rules" / "broken.yml").unlink()
    text = (repository / "rules" / "a.yml").read_text()
    more = "custom_attributes: {soc.playbooks: [no-such-playbook]}\ndetection:"
    (repository / "rules" / "a.yml").write_text(text.replace("detection:", more))
    commit(repository)
    with pytest.raises(ContentError, match="no-such-playbook"):
        draft(config, store)
    assert not store.status().documents


def test_what_is_published_and_cannot_be_read_is_said(config: Config, store: Store, repository: Path) -> None:
    """A damaged set is no obstacle to a new one, and not passed over in silence."""
    release = publish.publish(store, draft(config, store))
    document = store.read(SET, release.set)
    assert document is not None
    store.put(SET, release.set, {**document.body, "files": 1}, expect=document.version)
    write_rule(repository / "rules" / "a.yml", A, "A", "new")
    commit(repository)
    made = draft(config, store)
    assert "its list was changed" in made.unknown
    publish.publish(store, made)
    assert PublishedRules(store, cache_folder()).load().commit == made.commit


@pytest.mark.elastic
def test_on_elasticsearch(
    config: Config, repository: Path, elastic_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on a cluster: publish, conflict, sweep with it, go back, with an audit log that holds."""
    monkeypatch.setattr(publish, "_WRITE_AT_ONCE", 20)
    with open_store(elastic_settings) as store:
        store.init()
        first = publish.publish(store, draft(config, store))
        stale = draft(config, store)
        write_rule(repository / "rules" / "a.yml", A, "A", "two")
        commit(repository)
        second = publish.publish(store, draft(config, store))
        with pytest.raises(ConflictError):
            publish.publish(store, stale)
        job = SweepJob(Config(None, elastic_settings, published=True), store)
        assert job.rules.commit == second.commit
        job.run()
        publish.go_back(store, publish.prepare_return(store, cache_folder()))
        job.refresh()
        assert job.rules.commit == first.commit
        assert audit.verify(store).ok


def test_without_git_or_commit_or_folder(config: Config, store: Store, tmp_path: Path) -> None:
    """Each is a usage error that says what to do."""
    outside = tmp_path / "outside"
    write_rule(outside / "a.yml", A, "A")
    with pytest.raises(UsageError, match="not in a git repository"):
        draft(replace(config, rules=(outside,)), store)
    git_in(outside, "init", "-q")
    with pytest.raises(UsageError, match="no commit yet"):
        draft(replace(config, rules=(outside,)), store)
    with pytest.raises(UsageError, match="nothing to publish"):
        draft(replace(config, rules=()), store)


def test_of_two_who_publish_at_once_one_wins(config: Config, store: Store, repository: Path) -> None:
    """The other is told who was first; nothing of theirs holds, and the log says that it was refused."""
    mine = draft(config, store)
    write_rule(repository / "rules" / "a.yml", A, "A", "theirs")
    commit(repository)
    theirs = publish.publish(store, draft(config, store))
    with pytest.raises(ConflictError, match="somebody else published") as caught:
        publish.publish(store, mine)
    assert caught.value.exit_code == 3
    assert theirs.commit in caught.value.theirs
    assert store.whoami() in caught.value.theirs
    head = published.head(store)
    assert head is not None
    assert head.release == theirs
    assert audit.verify(store).ok


def test_going_back(config: Config, store: Store, repository: Path) -> None:
    """The set before holds again, or a named one; the log has it, and history goes on."""
    with pytest.raises(UsageError, match="no rules are published"):
        publish.earlier(store)
    first = publish.publish(store, draft(config, store))
    with pytest.raises(UsageError, match="no earlier release"):
        publish.earlier(store)
    for value in ("two", "three"):
        write_rule(repository / "rules" / "a.yml", A, "A", value)
        commit(repository)
        publish.publish(store, draft(config, store))
    back = publish.prepare_return(store, cache_folder())
    assert (back.to.number, changes(back)) == (2, [("changed", "A")])
    publish.go_back(store, back)
    back = publish.prepare_return(store, cache_folder(), first.commit[:8])
    release = publish.go_back(store, back)
    assert (release.number, release.set, release.commit, release.back) == (5, first.set, first.commit, True)
    assert "cmd=" in repr(PublishedRules(store, cache_folder()).load().by_id[A].predicate)
    assert [entry.action for entry in audit.entries(store)] == ["rule.publish"] * 3 + ["rule.rollback"] * 2
    assert publish.earlier(store, "3")[1].number == 3
    for wanted in ("ffff", "99", "", first.commit[:3]):
        if wanted:
            with pytest.raises(UsageError, match="remembered"):
                publish.earlier(store, wanted)
    stale = replace(back, before=replace(back.before, version=1))
    with pytest.raises(ConflictError):
        publish.go_back(store, stale)
    assert audit.verify(store).ok


def test_each_going_back_goes_further_back(config: Config, store: Store, repository: Path) -> None:
    """Two rollbacks in a row do not end at the bad set that the first one left."""

    def put(value: str) -> str:
        write_rule(repository / "rules" / "a.yml", A, "A", value)
        commit(repository)
        return publish.publish(store, draft(config, store)).commit

    def back(wanted: str = "") -> str:
        return publish.go_back(store, publish.prepare_return(store, cache_folder(), wanted)).commit

    one, two, three = put("one"), put("two"), put("three")
    assert (back(), back()) == (two, one)
    with pytest.raises(SocError, match="nothing is further back") as caught:
        back()
    assert caught.value.exit_code == 1
    assert "soc rule rollback COMMIT" in caught.value.hint
    four = put("four")
    assert back() == one  # not two, not three: rollbacks left them
    assert back(three) == three  # unless it is named
    assert (back(), back(four), back()) == (one, four, one)
    assert audit.verify(store).ok


class TestSweepers:
    """What a sweeper does with published sets."""

    def job(self, config: Config, store: Store, said: list[str]) -> SweepJob:
        """A sweeper somewhere else, without files of its own."""
        return SweepJob(Config(None, config.store, published=True), store, say=said.append)

    def test_takes_up_a_new_set_whole_at_the_next_sweep(
        self, config: Config, store: Store, repository: Path
    ) -> None:
        """Alerts and position carry the commit of the set that the sweep was made with."""
        first = publish.publish(store, draft(config, store)).commit
        said: list[str] = []
        job = self.job(config, store, said)
        job.run()
        append(store, {"e1": event()})
        job.run(Start())
        write_rule(repository / "rules" / "a.yml", A, "A", "q=1")
        second = commit(repository)
        publish.publish(store, draft(config, store))
        append(store, {"e2": event(7200, fires=False, host="web02")})
        job.refresh()
        assert said == [
            f"the rules were changed; going on with {len(job.sweeper.rules)} of commit {second[:12]}"
        ]
        job.run()
        alerts = {d.body["entity"]: d.body["rule"] for d in store.find("alert") if d.body["title"] == "A"}
        assert {entity: rule["commit"] for entity, rule in alerts.items()} == {
            "web01": first,
            "web02": second,
        }
        assert alerts["web02"]["path"] == "rules/a.yml"
        (sweeper,) = store.find("sweeper")
        assert sweeper.body["commit"] == second

    def test_keeps_the_last_good_set(self, config: Config, store: Store, repository: Path) -> None:
        """A set that was damaged in the store is not used, in whole or in part, and that is said once."""
        publish.publish(store, draft(config, store))
        said: list[str] = []
        job = self.job(config, store, said)
        good = job.rules.commit
        write_rule(repository / "rules" / "a.yml", A, "A", "damaged")
        commit(repository)
        release = publish.publish(store, draft(config, store))
        digest = published.list_files(store, release.set).hashes["rules/a.yml"]
        blob = store.read(BLOB, digest)
        assert blob is not None
        store.put(BLOB, digest, {"text": "title: something else"}, expect=blob.version)
        for _ in range(3):
            job.refresh()
        assert job.rules.commit == good
        assert len([text for text in said if "was changed by" in text]) == 1
        assert said[-1] == "the rules were changed and are broken; going on with those from before"
        # a sweeper that starts now uses the set that this machine used last
        said.clear()
        again = self.job(config, store, said)
        assert again.rules.commit == good
        assert "going on with the last set that could be read" in said[-1]
        # and when the set is mended, it is taken up
        changed = store.read(BLOB, digest)
        assert changed is not None
        store.put(BLOB, digest, blob.body, expect=changed.version)
        again.refresh()
        assert again.rules.commit == release.commit

    def test_a_set_that_is_gone_or_hostile(self, config: Config, store: Store) -> None:
        """Missing lists, changed bodies, paths that lead outside: refused, and nothing is unpacked."""
        release = publish.publish(store, draft(config, store))
        document = store.read(SET, release.set)
        assert document is not None
        store.put(SET, release.set, {**document.body, "files": 1}, expect=1)
        with pytest.raises(ContentError, match="its list was changed"):
            published.list_files(store, release.set)
        for path in (
            "../outside.yml",
            "/etc/x.yml",
            "rules/../../x.yml",
            "rules/.hidden/x.yml",
            "else/x.yml",
        ):
            text = f'[["{path}", "{published.hash_of("x")}"]]'
            listed = published.hash_of(text)
            body = {"folders": ["rules"], "lists": [listed], "files": 1}
            wanted = published.set_id(body)
            store.write(
                [
                    Write(BLOB, listed, {"text": text}, 0),
                    Write(BLOB, published.hash_of("x"), {"text": "x"}, 0),
                    Write(SET, wanted, body, 0),
                ]
            )
            with pytest.raises(ContentError, match="it holds the path"):
                published.unpacked(store, wanted, cache_folder() / "published")
        with pytest.raises(ContentError, match="not in the store"):
            published.list_files(store, "0" * 64)
        with pytest.raises(ContentError, match="no name of a set"):
            published.unpacked(store, "../../x", cache_folder() / "published")

    def test_nothing_published_or_nonsense(self, config: Config, store: Store) -> None:
        """A sweeper that is told to use published rules says that there are none; it never guesses."""
        with pytest.raises(ContentError, match="no rules are published"):
            self.job(config, store, [])
        store.put(HEAD, CURRENT, {"odd": 1}, expect=0)
        with pytest.raises(ContentError, match="cannot be read"):
            self.job(config, store, [])

    def test_old_sets_leave_the_cache(self, config: Config, store: Store, repository: Path) -> None:
        """Unpacked sets do not pile up on a sweeper."""
        for number in range(8):
            write_rule(repository / "rules" / "a.yml", A, "A", f"v{number}")
            commit(repository)
            publish.publish(store, draft(config, store))
            PublishedRules(store, cache_folder()).load()
        there = [p for p in (cache_folder() / "published").iterdir() if p.is_dir()]
        assert len(there) <= published.KEPT + 1
