// The filter bar's terms inside a PromQL query: every selector gets the matchers, unless it names the label itself.
import { parser } from "@prometheus-io/lezer-promql";
import { promLabel, promMatchers, type Term } from "../../lib/filters";

interface Insert {
  at: number;
  text: string;
}

/** `query` with the terms in each of its vector selectors; a query that does not parse stays as it is. */
export function narrow(query: string, terms: Term[]): string {
  if (!terms.length || !query.trim()) return query;
  const tree = parser.parse(query);
  const inserts: Insert[] = [];
  let broken = false;
  tree.iterate({
    enter(node) {
      if (node.type.isError) broken = true;
      if (node.name !== "VectorSelector") return;
      const matchers = node.node.getChild("LabelMatchers");
      const named = matchers ? query.slice(matchers.from, matchers.to) : "";
      const add = promMatchers(terms.filter((t) => !new RegExp(`(^|[{,\\s])${promLabel(t.key)}\\s*(=|!)`).test(named)));
      if (!add) return;
      if (!matchers) inserts.push({ at: node.to, text: `{${add}}` });
      else {
        const inside = named.slice(1, -1).trim();
        const close = matchers.to - 1;
        inserts.push({ at: close, text: inside === "" || inside.endsWith(",") ? add : `,${add}` });
      }
    },
  });
  if (broken) return query;
  let out = query;
  for (const i of inserts.sort((a, b) => b.at - a.at)) out = out.slice(0, i.at) + i.text + out.slice(i.at);
  return out;
}
