// Sends with the Node SDK: `node send.mjs proto|json|grpc URL corpora FILE...` or `... tasks COUNT`.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const [form, url, what, ...rest] = process.argv.slice(2);
const exporter = {
  proto: () => new ProtoExporter({ url: `${url}/v1/traces`, compression: "gzip" }),
  json: () => new JsonExporter({ url: `${url}/v1/traces` }),
  grpc: () => new GrpcExporter({ url: `http://${url}` }),
}[form]();

const EXPORTED = 0;

function exportAll(spans) {
  return new Promise((done, failed) =>
    exporter.export(spans, (result) =>
      result.code === EXPORTED ? done() : failed(result.error ?? new Error("not exported")),
    ),
  );
}

// [seconds, nanoseconds], out of an integer that a JavaScript number cannot hold.
function time(text) {
  const nanoseconds = BigInt(text);
  return [Number(nanoseconds / 1000000000n), Number(nanoseconds % 1000000000n)];
}

const resources = new Map();

function resourceOf(found) {
  const key = JSON.stringify(found);
  if (!resources.has(key)) resources.set(key, resourceFromAttributes(found.attributes ?? {}));
  return resources.get(key);
}

// A line of a recorded corpus as the SDK holds a span that has ended.
function span(line) {
  const found = JSON.parse(line.replace(/"((?:start_|end_)?time_unix_nano)": ?(\d+)/g, '"$1": "$2"'));
  const context = (spanId, isRemote) => ({
    traceId: found.trace_id, spanId, traceFlags: found.trace_flags, isRemote,
  });
  const scope = found.scope ?? {};
  return {
    name: found.name,
    kind: SpanKind[found.kind],
    spanContext: () => context(found.span_id, false),
    parentSpanContext: found.parent_id
      ? context(found.parent_id, Boolean(found.parent_is_remote))
      : undefined,
    startTime: time(found.start_time_unix_nano),
    endTime: time(found.end_time_unix_nano),
    duration: [0, 0],
    ended: true,
    status: {
      code: SpanStatusCode[found.status.code],
      message: found.status.description ?? undefined,
    },
    attributes: found.attributes ?? {},
    links: found.links.map((link) => ({
      context: { traceId: link.trace_id, spanId: link.span_id, traceFlags: found.trace_flags },
      attributes: link.attributes ?? {},
    })),
    events: found.events.map((event) => ({
      name: event.name, time: time(event.time_unix_nano), attributes: event.attributes ?? {},
    })),
    resource: resourceOf(found.resource),
    instrumentationScope: { name: scope.name ?? "", version: scope.version ?? undefined },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

async function sendCorpora(files) {
  for (const file of files) {
    const lines = gunzipSync(readFileSync(file)).toString("utf8").split("\n").filter(Boolean);
    await exportAll(lines.map(span));
  }
  await exporter.shutdown();
}

async function sendTasks(count) {
  const processor = new BatchSpanProcessor(exporter);
  const provider = new NodeTracerProvider({ spanProcessors: [processor] });
  provider.register();
  const tracer = trace.getTracer("router");
  for (let number = 0; number < count; number += 1) {
    tracer.startActiveSpan("task", (task) => {
      task.setAttributes({ "learning.task.id": `node-${number}`, "learning.outcome.success": true });
      tracer.startActiveSpan("chat", (call) => {
        call.setAttributes({ "gen_ai.request.model": "m-1", "gen_ai.operation.name": "chat" });
        call.end();
      });
      task.end();
    });
    if (number % 500 === 499) await processor.forceFlush();
  }
  await provider.shutdown();
}

await (what === "corpora" ? sendCorpora(rest) : sendTasks(Number(rest[0])));
