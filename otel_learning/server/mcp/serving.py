"""Puts the tools on stdio or on streamable HTTP, with the official SDK.

Every call stands for itself: nothing is kept between two calls but the store's evidence in
memory. So HTTP is served without sessions, and a restart of the server loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import mcp_types as types
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from otel_learning import __version__
from otel_learning.server.mcp.tools import (
    INSTRUCTIONS,
    TOOLS,
    Tool,
    ToolFailed,
    as_text,
    tool_named,
)
from otel_learning.server.mcp.work import Store

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

NAME: Final = "otel-learning"
CALLS_AT_ONCE: Final = 4
"""In threads; the store is asked by one of them at a time anyway."""
PROMPT: Final = "solutions_for_task"


def build(store: Store) -> Server[Any]:
    """The server, for any transport."""
    limiter = anyio.CapacityLimiter(CALLS_AT_ONCE)

    async def list_tools(
        _: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_listed(tool) for tool in TOOLS])

    async def call_tool(
        _: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        try:
            tool = tool_named(params.name)
            given = params.arguments or {}
            answer = await anyio.to_thread.run_sync(
                lambda: tool.call(store, given), limiter=limiter
            )
        except ToolFailed as failure:
            return types.CallToolResult(content=[_text(str(failure))], is_error=True)
        return types.CallToolResult(content=[_text(as_text(answer))], structured_content=answer)

    async def list_prompts(
        _: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=[_PROMPT])

    async def get_prompt(
        _: ServerRequestContext[Any], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        task = (params.arguments or {}).get("task", "").strip()
        if params.name != PROMPT or not task:
            why = (
                f"there is no prompt {params.name!r} (there is {PROMPT})"
                if params.name != PROMPT
                else "the argument 'task' is missing: the task at hand in words"
            )
            raise MCPError(code=types.INVALID_PARAMS, message=why)
        try:
            found = await anyio.to_thread.run_sync(
                lambda: tool_named("find_solutions").call(store, {"task": task}), limiter=limiter
            )
        except ToolFailed as failure:
            raise MCPError(code=types.INTERNAL_ERROR, message=str(failure)) from failure
        text = f"The task: {task}\n\n{found['prompt']}"
        return types.GetPromptResult(
            description=_PROMPT.description,
            messages=[types.PromptMessage(role="user", content=_text(text))],
        )

    return Server(
        NAME, version=__version__, title="What earlier executions teach",
        instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool,
        on_list_prompts=list_prompts, on_get_prompt=get_prompt,
    )  # fmt: skip


def serve_stdio(store: Store) -> None:
    """Serves one client on stdin and stdout, until stdin ends.

    Meanwhile whatever else this process writes to stdout goes to stderr: the SDK moves the
    descriptors.
    """

    async def serve() -> None:
        server = build(store)
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(serve)


def _listed(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name, title=tool.title, description=tool.description,
        input_schema=tool.input_schema, output_schema=tool.output_schema,
        annotations=types.ToolAnnotations(
            title=tool.title, read_only_hint=not tool.writes, destructive_hint=False,
            # The same words said twice are two opinions, unless a feedback_id makes them one.
            idempotent_hint=not tool.writes, open_world_hint=False,
        ),
    )  # fmt: skip


def _text(said: str) -> types.TextContent:
    return types.TextContent(type="text", text=said)


_PROMPT: Final = types.Prompt(
    name=PROMPT,
    title="What worked for tasks like this",
    description="The task, and what worked or did not in earlier executions of similar tasks.",
    arguments=[
        types.PromptArgument(name="task", description="The task at hand in words.", required=True)
    ],
)
