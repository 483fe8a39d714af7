// One way to call the node. Errors of the four APIs come in four forms; all become an ApiError with a sentence.
import { place } from "../url";

export class ApiError extends Error {
  /** `status` 0: no answer (network, time out). `position`: offset into the query, where the API told one. */
  constructor(
    readonly status: number,
    message: string,
    readonly position?: number,
  ) {
    super(message);
  }
}

export const timeoutMs = 60_000;

export type Params = Record<string, string | number | boolean | readonly string[] | undefined>;

export interface Call {
  signal?: AbortSignal;
  /** Sent as a JSON body by POST. */
  body?: unknown;
  /** Sent as a form by POST instead of in the URL: queries can be long. */
  form?: boolean;
}

function encode(params: Params): URLSearchParams {
  const out = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value === undefined) continue;
    if (Array.isArray(value)) for (const one of value) out.append(key, one);
    else out.set(key, String(value));
  }
  return out;
}

/** The sentence inside an error's body: Prometheus "error", Quickwit and gRPC-style "message", Elastic "error.reason", or text. */
function sentence(body: string, status: number): string {
  try {
    const j = JSON.parse(body) as Record<string, unknown>;
    const e = j["error"] ?? j["message"];
    if (typeof e === "string") return e;
    if (e && typeof e === "object" && "reason" in e) return String((e as { reason: unknown }).reason);
  } catch {
    /* plain text */
  }
  const text = body.trim();
  return text && !text.startsWith("<") ? text.slice(0, 500) : `the node answered ${status}`;
}

/** "1:14: parse error ..." or "line 1, col 14" (of a one-line or longer query) as an offset. */
export function positionOf(message: string, query: string): number | undefined {
  const m = /(?:^|\s)(\d+):(\d+)(?::|\s|$)/.exec(message) ?? /\bline (\d+), col(?:umn)? (\d+)/.exec(message);
  if (m) {
    const lines = query.split("\n");
    const line = Number(m[1]);
    if (line < 1 || line > lines.length) return undefined;
    const before = lines.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0);
    return Math.min(before + Number(m[2]) - 1, query.length);
  }
  const at = /(?:at|offset|position|column|col)\s+(\d+)/.exec(message);
  return at ? Math.min(Number(at[1]), query.length) : undefined;
}

export async function call<T>(path: string, params: Params = {}, how: Call = {}): Promise<T> {
  const headers: Record<string, string> = {};
  const tenant = place.value.params.get("tenant");
  if (tenant) headers["X-Scope-OrgID"] = tenant;
  const query = encode(params);
  const init: RequestInit = { headers, method: how.form || how.body !== undefined ? "POST" : "GET" };
  if (how.form) init.body = query;
  else if (how.body !== undefined) {
    init.body = JSON.stringify(how.body);
    headers["content-type"] = "application/json";
  }
  const late = AbortSignal.timeout(timeoutMs);
  init.signal = how.signal ? AbortSignal.any([how.signal, late]) : late;
  const address = how.form || !query.size ? path : `${path}?${query}`;
  let answer: Response;
  try {
    answer = await fetch(address, init);
  } catch (cause) {
    if (late.aborted) throw new ApiError(0, `no answer within ${timeoutMs / 1000} s`);
    throw new ApiError(0, how.signal?.aborted ? "cancelled" : `the node cannot be reached (${String(cause)})`);
  }
  const body = await answer.text();
  if (!answer.ok) {
    const message = sentence(body, answer.status);
    const asked = params["query"] ?? params["q"];
    throw new ApiError(answer.status, message, typeof asked === "string" ? positionOf(message, asked) : undefined);
  }
  try {
    return JSON.parse(body) as T;
  } catch {
    throw new ApiError(answer.status, `${path} answered something that is no JSON`);
  }
}
