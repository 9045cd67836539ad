"""Profiles are data: what they may say, what is refused, and who is believed first."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_learning.errors import ConfigurationError
from otel_learning.mapping.observe import Mapper, Source
from otel_learning.mapping.profile import (
    BUILT_IN,
    key_matches,
    load,
    matches,
    normalise,
    parse,
    spell_out,
)
from tests.corpus_replay import corpora
from tests.corpus_replay import load as spans_of
from tests.mapping.spans import facts, told


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("task_id = [", "not valid TOML"),
        ("[feilds]\n", "'feilds'"),
        ("[fields]\ntask_idd = ['x']", "'task_idd'"),
        ("[details]\ncolour = ['x']", "'colour'"),
        ("[fields]\ntask_id = 7", "fields.task_id"),
        ("[fields]\ntask_id = [7]", "fields.task_id"),
        ("fields = 3", "[fields]"),
        ("[roles.kind]\nllm = 'caller'", "'caller'"),
        ("[roles]\nkind = 3", "[roles.kind]"),
        ("[names]\nx = 'boss'", "'boss'"),
        ("roles = 3", "[roles]"),
        ("[events.e]\nwat = ['x']", "'wat'"),
        ("[events]\ne = 3", "[events.e]"),
        ("joins = 3", "joins"),
        ("[tiers]\nbig = 3", "tiers.big"),
        ("tiers = 'big'", "[tiers]"),
        ("[resource]\nnope = ['x']", "'nope'"),
        ("containers = 1", "[containers]"),
    ],
)
def test_a_wrong_profile_names_itself_and_the_value(content: str, named: str) -> None:
    """A profile that says something wrong names the file and what is wrong in it."""
    with pytest.raises(ConfigurationError) as raised:
        parse(content, "own", "mine.toml")

    assert "mine.toml" in str(raised.value)
    assert named in str(raised.value)


def test_a_profile_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, or one that is no text, is named."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")

    for file in (tmp_path / "missing.toml", binary, tmp_path):
        with pytest.raises(ConfigurationError, match=file.name):
            load(file)


def test_every_built_in_profile_is_listed_and_loads() -> None:
    """Each TOML file of the package is a profile in the reading order, named after its file."""
    folder = Path(__file__).parents[2] / "otel_learning" / "mapping" / "profiles"

    assert {file.stem for file in folder.glob("*.toml")} == set(BUILT_IN)
    assert [profile.name for profile in load()] == list(BUILT_IN)
    assert all(profile.about for profile in load())


def test_recorded_profiles_are_recorded() -> None:
    """A profile is called recorded exactly where spans of a recording are read by it."""
    mapper = Mapper(load())
    used: set[str] = set()
    for corpus in corpora():
        for span in spans_of(corpus):
            sources: list[Source] = []
            observation = mapper.span(span, sources)
            used |= {source.profile for source in sources}
            used |= {p.name for p in load() if p.roles.keys() & (span.attributes or {}).keys()}
            if observation is not None and observation.profile is not None:
                used.add(observation.profile)
    claimed = {profile.name for profile in load() if profile.recorded}

    # Our own attributes are ours to define: no other package could be recorded.
    assert claimed - used <= {"learning"}
    assert used - claimed <= {"joins"}


def test_a_span_is_named_after_the_closest_scope() -> None:
    """A framework's own profile names its spans, not that of the instrumentations in general."""
    named = {"openinference.span.kind": "LLM", "llm.model_name": "m"}

    close = told(named, scope="openinference.instrumentation.smolagents")
    general = told(named, scope="openinference.instrumentation.litellm")

    assert (close.profile, general.profile) == ("smolagents", "openinference")


def test_a_users_profile_lies_over_the_built_in_ones() -> None:
    """Where both name a fact, the user's key is read; the rest stays."""
    given = {"task.id": "built-in", "acme.order": "own", "repo.name": "acme/shop"}

    found = facts(given, profile='[fields]\ntask_id = ["acme.order"]')

    assert (found["task_id"], found["repo"]) == ("own", "acme/shop")
    assert facts(given)["task_id"] == "built-in"


def test_a_built_in_key_fills_in() -> None:
    """On a span without the user's key, the built-in one is still read."""
    assert facts({"task.id": "t"}, profile='[fields]\ntask_id = ["acme.order"]')["task_id"] == "t"


def test_our_own_attributes_win() -> None:
    """`learning.*` stands over every other built-in name."""
    assert facts({"task.id": "a", "learning.task.id": "b"})["task_id"] == "b"


def test_a_users_tier_table_stands_first() -> None:
    """A user's [tiers] decides; a model that it does not list keeps the built-in tier."""
    profile = '[tiers]\ngold = ["gpt-4o-mini*"]'
    asked = {"gen_ai.request.model": "openai/gpt-4o-mini", "gen_ai.response.id": "r"}

    assert facts(asked)["tier_hint"] == "small"
    assert facts(asked, profile=profile)["tier_hint"] == "gold"
    other = {**asked, "gen_ai.request.model": "claude-opus-4"}
    assert facts(other, profile=profile)["tier_hint"] == "large"
    unheard = {**asked, "gen_ai.request.model": "home-made-1"}
    assert "tier_hint" not in facts(unheard)


def test_roles_of_ones_own() -> None:
    """A user's profile says what kind of span it is, by a key's value or by the span's name."""
    profile = '[roles."acme.what"]\norder = "task"\n[names]\n"acme.ask*" = "call"'

    assert told({"acme.what": "ORDER"}, profile=profile).role == "task"
    assert told({"x": 1}, name="acme.ask.model", profile=profile).role == "call"


def test_a_scope_of_ones_own() -> None:
    """A profile can say within what else a task id is unique."""
    found = facts({"task.id": "7", "tenant": "blue"}, profile='scope = ["tenant"]')

    assert found["namespace"] == "/blue"


def test_joining_keys_of_ones_own() -> None:
    """A profile names the keys that tie traces together."""
    found = facts(
        {"gen_ai.agent.name": "a", "gen_ai.operation.name": "invoke_agent", "acme.run": "9"},
        profile='joins = ["acme.run"]',
    )

    assert found["join_key"] == "9"


def test_metadata_is_what_a_profile_lists() -> None:
    """Only listed keys are copied to `metadata`, masked and as JSON."""
    given = {"task.id": "t", "acme.team": "blue", "acme.key": "sk-" + "a1" * 12, "acme.n": 3}

    found = facts(given, profile='metadata = ["acme.team", "acme.n", "acme.key"]')

    assert found["metadata"] == '{"acme.key": "[masked]", "acme.n": 3, "acme.team": "blue"}'
    assert "metadata" not in facts(given)


def test_containers_of_ones_own() -> None:
    """A profile names keys whose JSON holds further keys."""
    profile = '[containers]\n"acme.blob" = ""\n[fields]\ntask_id = ["acme.blob.order"]'

    assert facts({"acme.blob": '{"order": "WO-1"}'}, profile=profile)["task_id"] == "WO-1"


@pytest.mark.parametrize(
    ("key", "expected"),
    [("task.id", "task.id"), ("taskId", "task.id"), ("acmeTask_Id", "acme.task.id"),
     ("HTTPStatus", "http.status"), ("a-b c/d", "a.b.c.d"), ("task.ID", "task.id"), ("", "")],
)  # fmt: skip
def test_normalised_keys(key: str, expected: str) -> None:
    """A key is its words, however they are put together."""
    assert normalise(key) == expected


def test_context_prefixes() -> None:
    """Where applications put keys of their own, the prefix is one word."""
    assert normalise("metadata.taskId", ("metadata.",)) == "ctx.task.id"


def test_patterns() -> None:
    """`*` in a name is any run of characters; in an alias it is one part between dots."""
    assert matches("litellm.request", "litellm.*")
    assert not matches("other", "litellm.*")
    assert key_matches("llm.openai.usage", "llm.*.usage")
    assert not key_matches("llm.a.b.usage", "llm.*.usage")
    assert spell_out("{a,b}.{c,d}") == ["a.c", "a.d", "b.c", "b.d"]
    assert spell_out("plain") == ["plain"]
