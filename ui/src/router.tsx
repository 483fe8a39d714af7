// Pages by path. Each page is a chunk of its own: the first load brings the frame and one page.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { place } from "./lib/url";
import { Progress } from "./components/Progress";
import { ErrorBox } from "./components/ErrorBox";

/** What a page gets: the parts of the path that its pattern names. */
export interface PageProps {
  path: Record<string, string>;
}

interface Module {
  default: ComponentType<PageProps>;
}

export interface Route {
  /** "/trace/:id" */
  pattern: string;
  title: string;
  page: () => Promise<Module>;
}

/** The parts that `pattern` names, or undefined when the path is another. */
export function match(pattern: string, path: string): Record<string, string> | undefined {
  const want = pattern.split("/").filter(Boolean);
  const have = path.split("/").filter(Boolean);
  if (want.length !== have.length) return undefined;
  const out: Record<string, string> = {};
  for (let i = 0; i < want.length; i++) {
    if (want[i]!.startsWith(":")) {
      try {
        out[want[i]!.slice(1)] = decodeURIComponent(have[i]!);
      } catch {
        return undefined;
      }
    } else if (want[i] !== have[i]) return undefined;
  }
  return out;
}

const loaded = new Map<Route, ComponentType<PageProps>>();

export function Router({ routes }: { routes: Route[] }) {
  const path = place.value.path;
  const route = routes.find((r) => match(r.pattern, path));
  const [, arrived] = useState(0);
  const [failed, setFailed] = useState<string>();
  useEffect(() => {
    setFailed(undefined);
    if (!route) return;
    document.title = `${route.title} - Tercet`;
    if (loaded.has(route)) return;
    route.page().then(
      (m) => { loaded.set(route, m.default); arrived((n) => n + 1); },
      (e: unknown) => setFailed(String(e)),
    );
  }, [route]);
  if (!route)
    return <ErrorBox title="There is no such page" text={`Nothing is at ${path}. The pages are in the bar on the left.`} />;
  if (failed) return <ErrorBox title="This page could not be loaded" text={`${failed}. Was the node upgraded? Reload the page.`} />;
  const Page = loaded.get(route);
  return Page ? <Page path={match(route.pattern, path)!} /> : <Progress on />;
}
