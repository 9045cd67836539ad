"""Lets LiteLLM choose as the policy file says, and put on the span how it chose.

Two faces of the same reader. `PolicyPlugin` is a routing plugin: `Router(plugins=[...])`, or the
proxy's `router_settings.plugins`; it chooses among the deployments of one model group. It needs
LiteLLM's asynchronous calls, as all routing plugins do. `PolicyHook` is a callback of the proxy; it
chooses among model groups. Without a policy, or where it has nothing to say, LiteLLM goes on as
if they were not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from litellm.integrations.custom_logger import CustomLogger
from opentelemetry import trace

from otel_learning.policy_reader import Choice, PolicyReader

CONTEXT: Final = ("task_type", "repo", "complexity_score", "file_count", "estimated_tokens")
"""Keys of a request's `metadata` that a policy may know."""
_CHOSEN: Final = "otel_learning_arm"
"""In the metadata of a request: a retry must not draw anew, the first choice is what is judged."""


class PolicyPlugin:
    """Chooses among the deployments of a model group.

    Args:
        reader: reads the policy file.
        arms: arm -> `litellm_params.model` of a deployment; where it is left out, an arm is the
            deployment whose model has its name, with or without the provider before it.
    """

    def __init__(self, reader: PolicyReader, arms: Mapping[str, str] | None = None) -> None:
        self._reader = reader
        self._arms = dict(arms) if arms is not None else None

    async def run(self, context: Any) -> Any:
        """LiteLLM's routing pipeline: leaves one model of the candidates. Never raises."""
        try:
            self._narrow(context)
        except Exception:  # a guest in the router: the candidates stand as they were
            return context
        return context

    def _narrow(self, context: Any) -> None:
        metadata = context.metadata
        if _CHOSEN in metadata:
            return
        models = self._models(context.candidate_models)
        if len(models) < 2:
            return
        choice = _choose(self._reader, metadata, list(models))
        if choice is None:
            return
        metadata[_CHOSEN] = choice.arm
        context.candidate_models = [models[str(choice.arm)]]
        _note(choice)

    def _models(self, candidates: Sequence[str]) -> dict[str, str]:
        """The arms that can be had -> the deployment's model."""
        if self._arms is not None:
            return {arm: model for arm, model in self._arms.items() if model in candidates}
        found = {model.partition("/")[2] or model: model for model in candidates}
        return {**found, **{model: model for model in candidates}}


class PolicyHook(CustomLogger):  # type: ignore[misc]
    """Chooses among model groups, in the proxy: a request for `model` goes to the arm's group.

    Args:
        reader: reads the policy file.
        model: the name that clients ask for where the policy is to choose.
        groups: arm -> model group; where it is left out, a group has the name of its arm.
        default: the group where the policy has nothing to say.
    """

    def __init__(
        self, reader: PolicyReader, *, model: str = "auto", default: str,
        groups: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._reader = reader
        self._model = model
        self._default = default
        self._groups = dict(groups) if groups is not None else None

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> dict[str, Any]:
        """LiteLLM's hook before each call: puts the chosen group into the request."""
        if data.get("model") != self._model:
            return data
        data["model"] = self._default
        metadata = data.get("metadata")
        arms = list(self._groups) if self._groups is not None else None
        choice = _choose(self._reader, metadata if isinstance(metadata, Mapping) else {}, arms)
        if choice is not None:
            groups = self._groups or {}
            data["model"] = groups.get(str(choice.arm), choice.arm)
            _note(choice)
        return data


def _choose(
    reader: PolicyReader, metadata: Mapping[str, Any], arms: Sequence[str] | None
) -> Choice | None:
    """What was drawn; None where the policy has nothing to say."""
    known = {name: metadata[name] for name in CONTEXT if name in metadata}
    choice = reader.choose(known, candidates=arms)
    return choice if choice.propensity is not None and choice.arm is not None else None


def _note(choice: Choice) -> None:
    """Puts on the current span how it was chosen, for the next evidence."""
    trace.get_current_span().set_attributes(choice.attributes())
