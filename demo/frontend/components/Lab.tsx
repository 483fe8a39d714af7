'use client';
import { useState } from 'react';
import type { BrowserConfig } from '@/lib/config';
import { traced } from '@/rum/traced';

interface Done {
  what: string;
  answer: string;
  ms: number;
  trace: string;
}

const DONE_MAX = 8;
const BLOCK_MS = 600;
const ORDER = { items: [{ product_id: 'compass', quantity: 1 }, { product_id: 'buoy', quantity: 2 }], currency: 'EUR' };

export function Lab({ config }: { config: BrowserConfig }) {
  const [done, setDone] = useState<Done[]>([]);

  async function run(what: string, request: () => Promise<Response>) {
    const start = performance.now();
    const { trace, result } = await traced(what, () => request().then((r) => `${r.status}`, (e) => String(e)));
    setDone((before) => [{ what, answer: result, ms: performance.now() - start, trace }, ...before].slice(0, DONE_MAX));
  }

  const call = (name: string, url: string) => (
    <button key={url} data-otel-name={name} onClick={() => void run(name, () => fetch(url))}>
      {name.split(' ')[1]}
    </button>
  );
  const wholeFlow = () =>
    fetch('/api/checkout', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(ORDER),
    });

  return (
    <>
      <div className="lab">
        {Object.entries(config.backends).map(([name, url]) => (
          <fieldset key={name}>
            <legend>{name}</legend>
            {call(`${name} data`, `${url}/data`)}
            {call(`${name} error`, `${url}/error`)}
          </fieldset>
        ))}
        <fieldset>
          <legend>everything</legend>
          <button data-otel-name="whole flow" onClick={() => void run('whole flow', wholeFlow)}>order</button>
        </fieldset>
        <fieldset>
          <legend>this page</legend>
          <button data-otel-name="throw" onClick={throwError}>error</button>
          <button data-otel-name="reject" onClick={() => void Promise.reject(new RangeError('nobody waits for this promise'))}>
            rejection
          </button>
          <button data-otel-name="block" onClick={block}>slow click</button>
        </fieldset>
      </div>
      <ol className="done" aria-live="polite">
        {done.map((d, i) => (
          <li key={done.length - i}>
            <b>{d.what}</b> {d.answer}, {Math.round(d.ms)} ms, <a href={`${config.tercet}/trace/${d.trace}`}>its trace</a>
          </li>
        ))}
      </ol>
    </>
  );
}

function throwError() {
  throw new TypeError('the bilge pump is not connected');
}

/** Keeps the page from painting: the click is answered late (INP). */
function block() {
  const end = performance.now() + BLOCK_MS;
  while (performance.now() < end);
}
