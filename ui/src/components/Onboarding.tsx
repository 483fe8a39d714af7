import { useEffect, useState } from "preact/hooks";
import { status, type Status } from "../lib/api/native";
import { refresh } from "../lib/range";
import { Copy } from "./Copy";
import { State } from "./State";
import { Tabs } from "./Tabs";
import "./Onboarding.css";

type Language = "any" | "python" | "node" | "go" | "java" | "curl";

const pollMs = 2000;

/** How to send the first telemetry, with this node's real addresses. */
export function snippet(language: Language, host: string, ports: Status["ports"]): string {
  const grpc = `http://${host}:${ports.otlp_grpc}`;
  const http = `http://${host}:${ports.otlp_http}`;
  const env = `export OTEL_SERVICE_NAME=my-service\nexport OTEL_EXPORTER_OTLP_ENDPOINT=${http}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`;
  switch (language) {
    case "any":
      return `export OTEL_SERVICE_NAME=my-service\nexport OTEL_EXPORTER_OTLP_ENDPOINT=${grpc}   # gRPC\n# or ${http} for http/protobuf and http/json`;
    case "python":
      return `pip install opentelemetry-distro opentelemetry-exporter-otlp\nopentelemetry-bootstrap -a install\n${env}\nexport OTEL_LOGS_EXPORTER=otlp OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED=true\nopentelemetry-instrument python app.py`;
    case "node":
      return `npm install @opentelemetry/auto-instrumentations-node\n${env}\nnode --require @opentelemetry/auto-instrumentations-node/register app.js`;
    case "go":
      return `go get go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp\n${env}\n# otlptracehttp.New(ctx) reads these variables`;
    case "java":
      return `${env}\njava -javaagent:opentelemetry-javaagent.jar -jar app.jar`;
    case "curl":
      return `curl ${http}/v1/logs -H 'content-type: application/json' -d '{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"hello"}}]},"scopeLogs":[{"logRecords":[{"severityText":"INFO","body":{"stringValue":"it works"}}]}]}]}'`;
  }
}

/** Shown while nothing is stored: where to send, and a line that turns when the first byte is here. */
export function Onboarding() {
  const [language, setLanguage] = useState<Language>("any");
  const [node, setNode] = useState<Status>();
  useEffect(() => {
    let stopped = false;
    const ask = () => status().then((s) => !stopped && setNode(s), () => {});
    void ask();
    const timer = window.setInterval(ask, pollMs);
    return () => { stopped = true; window.clearInterval(timer); };
  }, []);
  const arrived = node && Object.entries(node.data).filter(([, v]) => v).map(([k]) => k);
  const any = Boolean(arrived?.length);
  useEffect(() => { if (any) refresh(); }, [any]);
  const text = node ? snippet(language, location.hostname, node.ports) : "";
  return (
    <section class="card onboarding" aria-label="Send the first telemetry">
      <h1>Send the first telemetry</h1>
      <p class="quiet">Any OpenTelemetry SDK or Collector can send to this node. Nothing else has to be set up.</p>
      <Tabs
        label="Language" value={language} onChange={setLanguage}
        tabs={[{ id: "any", label: "Any SDK" }, { id: "python", label: "Python" }, { id: "node", label: "Node.js" }, { id: "go", label: "Go" }, { id: "java", label: "Java" }, { id: "curl", label: "By hand" }]}
      />
      <div class="onboarding-code">
        <pre tabIndex={0}>{text}</pre>
        <Copy text={text} what="these lines" />
      </div>
      <div aria-live="polite">
        {any ? <State level="ok">Receiving {arrived!.join(", ")}. Nothing in this time range yet: choose a longer one.</State> : <State level="idle">Waiting for the first data…</State>}
      </div>
    </section>
  );
}
