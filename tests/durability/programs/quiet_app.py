"""An application that uses everything and prints one line of its own.

With `abrupt` it ends without flushing anything, with a drain under way.
"""

import os
import sys

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_learning import LearningDatabase, LearningSpanExporter, LearningSpanProcessor
from tests.durability.harness import call_attributes, task_attributes

path, how = sys.argv[1], sys.argv[2]
provider = TracerProvider(shutdown_on_exit=how != "abrupt")
exporter = LearningSpanExporter(path=path)
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
provider.add_span_processor(LearningSpanProcessor(path=path))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("app")
for i in range(300):
    with (
        tracer.start_as_current_span("task", attributes=task_attributes(f"t-{i}")),
        tracer.start_as_current_span("chat", attributes=call_attributes()),
    ):
        pass
if how == "freeze":
    import gc

    provider.force_flush()
    exporter.force_flush()
    gc.freeze()
if how == "hold":
    held = LearningDatabase(path)
    held.sql("SELECT count(*) FROM executions")
os.write(1, b"mine\n")
