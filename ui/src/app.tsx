// The frame of every page: navigation, the one filter bar and time range, banners, and the page itself.
import { useCallback } from "preact/hooks";
import { Banners } from "./components/Banners";
import { FilterBar } from "./components/FilterBar";
import { Help, openHelp } from "./components/Help";
import { Icon, type IconName } from "./components/Icon";
import { Link } from "./components/Link";
import { openPalette, Palette } from "./components/Palette";
import { TimeRange } from "./components/TimeRange";
import { useShortcut } from "./lib/keys";
import { toCluster, toHome, toLogs, toMetrics, toRum, toServices, toStorage, toTraces } from "./lib/links";
import { shift, zoomOut } from "./lib/range";
import { nextTheme, theme } from "./lib/theme";
import { follow, place } from "./lib/url";
import { type Route, Router } from "./router";
import "./app.css";

const routes: Route[] = [
  { pattern: "/", title: "Home", page: () => import("./pages/home/Home") },
  { pattern: "/explore/metrics", title: "Metrics", page: () => import("./pages/metrics/Metrics") },
  { pattern: "/explore/logs", title: "Logs", page: () => import("./pages/logs/Logs") },
  { pattern: "/explore/traces", title: "Traces", page: () => import("./pages/traces/Traces") },
  { pattern: "/trace/:id", title: "Trace", page: () => import("./pages/trace/TracePage") },
  { pattern: "/services", title: "Services", page: () => import("./pages/services/Services") },
  { pattern: "/services/:name", title: "Service", page: () => import("./pages/services/Service") },
  { pattern: "/rum", title: "Real users", page: () => import("./pages/rum/Rum") },
  { pattern: "/storage", title: "Storage", page: () => import("./pages/storage/Storage") },
  { pattern: "/cluster", title: "Cluster", page: () => import("./pages/cluster/Cluster") },
  { pattern: "/rum/sessions/:id", title: "Session", page: () => import("./pages/rum/Session") },
];

interface Place {
  label: string;
  icon: IconName;
  key: string;
  /** the first part of the paths that belong to it */
  root: string;
  to: () => string;
}

const places: Place[] = [
  { label: "Home", icon: "home", key: "h", root: "", to: toHome },
  { label: "Metrics", icon: "metrics", key: "m", root: "explore/metrics", to: () => toMetrics() },
  { label: "Logs", icon: "logs", key: "l", root: "explore/logs", to: () => toLogs() },
  { label: "Traces", icon: "traces", key: "t", root: "explore/traces", to: () => toTraces() },
  { label: "Services", icon: "services", key: "s", root: "services", to: toServices },
  { label: "Users", icon: "users", key: "r", root: "rum", to: () => toRum() },
  { label: "Storage", icon: "storage", key: "b", root: "storage", to: toStorage },
  { label: "Cluster", icon: "cluster", key: "c", root: "cluster", to: toCluster },
];

function isHere(p: Place): boolean {
  const path = place.value.path.slice(1);
  if (p.root === "explore/traces" && path.startsWith("trace/")) return true;
  return p.root === "" ? path === "" : path === p.root || path.startsWith(p.root + "/");
}

function NavItem({ at }: { at: Place }) {
  const run = useCallback(() => follow(at.to()), [at]);
  useShortcut(`g ${at.key}`, `Go to ${at.label}`, "Go", run);
  return (
    <Link to={at.to()} class="nav-item" aria-current={isHere(at) ? "page" : undefined} title={`${at.label} (g ${at.key})`}>
      <Icon name={at.icon} size={20} />
      <span>{at.label}</span>
    </Link>
  );
}

function Shortcuts() {
  useShortcut("?", "Show this help", "Everywhere", openHelp);
  useShortcut("ctrl+k", "Go anywhere", "Everywhere", openPalette);
  useShortcut("t z", "Zoom out", "Time", zoomOut);
  useShortcut("t ArrowLeft", "Earlier by half", "Time", back);
  useShortcut("t ArrowRight", "Later by half", "Time", forth);
  return null;
}

const back = () => shift(-1);
const forth = () => shift(1);

export function App() {
  return (
    <div class="app">
      <a class="skip" href="#main">Skip to the page</a>
      <nav class="nav" aria-label="Pages">
        <Link to={toHome()} class="nav-brand" aria-label="Tercet, home"><Icon name="logs" size={22} /></Link>
        {places.map((p) => <NavItem key={p.label} at={p} />)}
        <div class="grow" />
        <button type="button" class="plain nav-item" onClick={nextTheme} title={`Theme: ${theme.value}`} aria-label={`Theme: ${theme.value}. Change it`}><Icon name="theme" size={18} /></button>
        <button type="button" class="plain nav-item" onClick={openHelp} title="Keys and help (?)" aria-label="Keys and help"><Icon name="help" size={18} /></button>
      </nav>
      <header class="top">
        <FilterBar />
        <TimeRange />
      </header>
      <main class="main" id="main" tabIndex={-1}>
        <Banners />
        <Router routes={routes} />
      </main>
      <Shortcuts />
      <Help />
      <Palette />
    </div>
  );
}
