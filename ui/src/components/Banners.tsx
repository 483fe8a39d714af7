import { useEffect, useState } from "preact/hooks";
import { status, type Status } from "../lib/api/native";
import { href, place } from "../lib/url";
import { Icon } from "./Icon";
import { Link } from "./Link";
import "./Banners.css";

const periodMs = 15_000;

/** What is true of everything: the node cannot be reached, the disk is nearly full. Nothing when all is well. */
export function Banners() {
  const [now, setNow] = useState<Status["banners"]>([]);
  useEffect(() => {
    let stopped = false;
    const ask = () =>
      status().then(
        (s) => !stopped && setNow(s.banners ?? []),
        (e: Error) => !stopped && setNow([{ level: "error", text: `The node does not answer: ${e.message}` }]),
      );
    void ask();
    const timer = window.setInterval(() => !document.hidden && void ask(), periodMs);
    return () => { stopped = true; window.clearInterval(timer); };
  }, []);
  return (
    <div aria-live="polite" class="banners">
      {now.map((b) => (
        <div key={b.text} class="banner" data-level={b.level}><Icon name="warning" /> <span>{b.text}{b.page && place.value.path !== b.page && <> <Link to={href(b.page)}>More about it</Link></>}</span></div>
      ))}
    </div>
  );
}
