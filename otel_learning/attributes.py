"""Names of the span attributes that this package defines.

Setting them is optional. The names are plain strings, so a router may copy them without
depending on this package. They may stand on any span of a task.
"""

from typing import Final

TASK_ID: Final = "learning.task.id"
TASK_TYPE: Final = "learning.task.type"
TASK_DESCRIPTION: Final = "learning.task.description"
TASK_REPO: Final = "learning.task.repo"
TASK_FILE_COUNT: Final = "learning.task.file_count"
TASK_ESTIMATED_TOKENS: Final = "learning.task.estimated_tokens"

ROUTE_MODEL_TIER: Final = "learning.route.model_tier"
ROUTE_MODEL: Final = "learning.route.model"
ROUTE_POOL_TYPE: Final = "learning.route.pool_type"
ROUTE_SWARM_TOPOLOGY: Final = "learning.route.swarm_topology"
ROUTE_SELECTOR: Final = "learning.route.selector"
ROUTE_CONFIDENCE: Final = "learning.route.confidence"
"""How sure the router was, 0..1. Never taken for a propensity."""
ROUTE_COMPLEXITY: Final = "learning.route.complexity"
"""The router's estimate of difficulty, 0..100."""
ROUTE_PROPENSITY: Final = "learning.route.propensity"
"""The probability with which the router chose what it chose, 0..1."""
ROUTE_PROPENSITY_OF: Final = "learning.route.propensity_of"
"""Which decision the propensity belongs to; `model_tier` where it is not given."""
ROUTE_COST_ESTIMATE: Final = "learning.route.cost_estimate"
ROUTE_POLICY_VERSION: Final = "learning.route.policy_version"
ROUTE_EXPERIMENT: Final = "learning.route.experiment"
ROUTE_VARIANT: Final = "learning.route.variant"

OUTCOME_SUCCESS: Final = "learning.outcome.success"
OUTCOME_QUALITY_SCORE: Final = "learning.outcome.quality_score"
"""0..100; a fraction of 0..1 counts times 100."""
OUTCOME_ERROR_TYPE: Final = "learning.outcome.error_type"
OUTCOME_ERROR_MESSAGE: Final = "learning.outcome.error_message"
OUTCOME_COST: Final = "learning.outcome.cost"
"""What the task cost, in USD."""
OUTCOME_DURATION_SECONDS: Final = "learning.outcome.duration_seconds"
OUTCOME_PEAK_MEMORY_MB: Final = "learning.outcome.peak_memory_mb"
OUTCOME_CPU_TIME_SECONDS: Final = "learning.outcome.cpu_time_seconds"
OUTCOME_SOLUTION_SUMMARY: Final = "learning.outcome.solution_summary"

FEEDBACK_EVENT: Final = "learning.feedback"
"""The name of a log event that carries feedback."""
FEEDBACK_ACCEPTED: Final = "learning.feedback.accepted"
FEEDBACK_RATING: Final = "learning.feedback.rating"
"""1..5, or excellent, good, fair, poor."""
FEEDBACK_COMMENT: Final = "learning.feedback.comment"
FEEDBACK_SOURCE: Final = "learning.feedback.source"
FEEDBACK_ISSUE: Final = "learning.feedback.issue"
"""wrong_model, too_slow, poor_quality or other."""
FEEDBACK_VISIBILITY: Final = "learning.feedback.visibility"
"""private, team or public; private where it is not given."""
FEEDBACK_ID: Final = "learning.feedback.id"
"""On an event: said again under the same id, the later word stands."""
FEEDBACK_REVOKED: Final = "learning.feedback.revoked"
"""On an event, true: what was said under this id is taken back."""

SATISFACTION: Final = {"excellent": 5.0, "good": 4.0, "fair": 3.0, "poor": 1.0}
"""Words for a rating -> what each stands for. Fair is the middle, and poor as far below it as
excellent is above: the rewards +1, +0.5, 0 and -1 lie on one line."""
ISSUES: Final = ("wrong_model", "too_slow", "poor_quality", "other")
"""Values of `learning.feedback.issue`."""
VISIBILITIES: Final = ("private", "team", "public")
"""Values of `learning.feedback.visibility`."""
