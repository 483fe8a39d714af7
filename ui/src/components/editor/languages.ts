// The three languages as CodeMirror knows them: grammar, colours, completion.
import { autocompletion, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { HighlightStyle, LRLanguage, LanguageSupport, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { parser as traceqlParser } from "@grafana/lezer-traceql";
import { styleTags, tags as t } from "@lezer/highlight";
import { PromQLExtension } from "@prometheus-io/codemirror-promql";
import type { Complete } from "../../lib/complete";

const traceqlLanguage = LRLanguage.define({
  parser: traceqlParser.configure({
    props: [
      styleTags({
        LineComment: t.lineComment, BlockComment: t.blockComment, String: t.string, "Integer Float Duration": t.number, Static: t.atom,
        IntrinsicField: t.keyword, "Resource Span Event Link Instrumentation Parent": t.namespace, Identifier: t.propertyName,
        "FieldOp ComparisonOp And Or Gt Lt Desc Anc Pipe": t.operator,
        "Aggregate MetricsOperationBasicType MetricsOverTimeType MetricsOperationQuantile MetricsAggregatorFunctionType": t.function(t.variableName),
        "GroupOperation SelectOperation CoalesceOperation With": t.keyword,
      }),
    ],
  }),
  languageData: { closeBrackets: { brackets: ["(", "{", '"'] } },
});

const logLanguage = StreamLanguage.define<null>({
  name: "logs",
  startState: () => null,
  token(stream) {
    if (stream.eatSpace()) return null;
    if (stream.match(/"(?:[^"\\]|\\.)*"?/)) return "string";
    if (stream.match(/(AND|OR|NOT|IN|TO)\b/)) return "keyword";
    if (stream.match(/[\w.\-/@]+(?=:)/)) return "propertyName";
    if (stream.match(/-?\d+(\.\d+)?\b/)) return "number";
    if (stream.match(/[:<>=\[\]{}()*+\-]/)) return "operator";
    stream.match(/[^\s:"\[\]{}()]+/) || stream.next();
    return null;
  },
  languageData: { closeBrackets: { brackets: ["(", '"'] } },
});

const colours = HighlightStyle.define([
  { tag: [t.string, t.special(t.string)], class: "tok-string" },
  { tag: [t.number, t.bool, t.atom], class: "tok-number" },
  { tag: [t.keyword, t.modifier, t.operatorKeyword], class: "tok-keyword" },
  { tag: [t.function(t.variableName), t.standard(t.variableName)], class: "tok-function" },
  { tag: [t.propertyName, t.labelName, t.namespace], class: "tok-property" },
  { tag: t.comment, class: "tok-comment" },
  { tag: t.invalid, class: "tok-invalid" },
]);

const kinds = { name: "property", value: "text", keyword: "keyword", function: "function" } as const;

/** Our completion as a CodeMirror source. */
function source(complete: Complete) {
  return async (context: CompletionContext): Promise<CompletionResult | null> => {
    const abort = new AbortController();
    context.addEventListener("abort", () => abort.abort());
    const got = await complete(context.state.doc.toString(), context.pos, abort.signal).catch(() => undefined);
    if (!got || (got.from === context.pos && !context.explicit && !/["{:|]\s?$/.test(context.state.sliceDoc(0, context.pos)))) return null;
    return {
      from: got.from,
      options: got.choices.map((c) => ({ label: c.label, type: kinds[c.kind], detail: c.detail })),
      validFor: /^[\w.\-/:]*$/,
    };
  };
}

export interface LanguageOptions {
  complete?: Complete;
  /** the Prometheus API for PromQL's completion, and the headers that calls need */
  prometheus?: { url: string; fetch: typeof fetch };
}

export function languageOf(language: "promql" | "traceql" | "logs", o: LanguageOptions): Extension[] {
  const look = syntaxHighlighting(colours);
  if (language === "promql") {
    const promql = new PromQLExtension().activateLinter(false);
    if (o.prometheus) promql.setComplete({ remote: { url: o.prometheus.url, fetchFn: o.prometheus.fetch, httpMethod: "GET", cache: { maxAge: 60_000 } } });
    return [promql.asExtension(), autocompletion({ icons: false }), look];
  }
  const base = language === "traceql" ? new LanguageSupport(traceqlLanguage) : new LanguageSupport(logLanguage as never);
  return [base, autocompletion({ icons: false, override: o.complete ? [source(o.complete)] : [] }), look];
}
