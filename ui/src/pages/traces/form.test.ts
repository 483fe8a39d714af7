import { describe, expect, it } from "vitest";
import { emptyForm, type Form, readForm, writeForm } from "./form";

const full: Form = {
  service: 'a "b" \\ c', name: "POST /checkout", status: "error", min: "10ms", max: "1.5s",
  rows: [
    { key: "span.http.response.status_code", op: "=", value: "500" },
    { key: "span.order.currency", op: "=~", value: "E.." },
    { key: "resource.team id", op: "!=", value: "x && y }" },
    { key: "span.n", op: ">", value: "12" },
    { key: "kind", op: "=", value: "server" },
    { key: ".any", op: "=", value: '"7"' },
  ],
};

describe("the form and TraceQL", () => {
  it("reads back all that it writes", () => {
    expect(writeForm(full)).toBe(
      '{ resource.service.name = "a \\"b\\" \\\\ c" && name = "POST /checkout" && status = error && duration >= 10ms && duration <= 1.5s' +
        ' && (span.http.response.status_code = 500 || span.http.response.status_code = "500") && span.order.currency =~ "E.."' +
        ' && resource."team id" != "x && y }" && span.n > 12 && kind = server && .any = "7" }',
    );
    expect(readForm(writeForm(full))).toEqual(full);
    expect(readForm(writeForm(emptyForm))).toEqual(emptyForm);
    const odd: Form = { ...emptyForm, service: "500", name: "true" };
    expect(readForm(writeForm(odd))).toEqual(odd);
  });
  it("reads what a person writes", () => {
    expect(readForm("{}")).toEqual(emptyForm);
    expect(readForm('{resource.service.name="shop"&&duration>=2s}')).toEqual({ ...emptyForm, service: "shop", min: "2s" });
    expect(readForm("{ duration > 1s && span.ok = true }")!.rows).toEqual([{ key: "duration", op: ">", value: "1s" }, { key: "span.ok", op: "=", value: "true" }]);
    expect(readForm('{ name = "a" && name = "b" }')).toEqual({ ...emptyForm, name: "a", rows: [{ key: "name", op: "=", value: "b" }] });
  });
  it("leaves the rest to TraceQL", () => {
    const more = [
      "{ a", "{ } | count() > 2", "{ } >> { }", "{ span.a = 1 || span.b = 2 }", "{ (span.a = 1 || span.b = 2) }", "{ !(span.a = 1) }", "{ span.a = span.b }",
      "{ duration }", "{ span.a = 1 } | rate()", "{ span.a + 1 = 2 }", "{ 1 = span.a }", "{ name = `x` }", "{ span.a = 1 && }", "x", "{ } }",
    ];
    for (const q of more) expect(readForm(q), q).toBeUndefined();
  });
});
