/** What the pages and routes of this server ask of the services behind it. fetch() carries the trace on (telemetry/node.ts). */
import { backends } from './config';
import { log } from './log';
import type { Order, Product, Receipt } from './types';

const TIMEOUT_MS = 15_000;

/** A service's answer that is not the wanted one; 503 where there was none. */
export class BackendError extends Error {
  constructor(service: string, readonly status: number, readonly detail: string, options?: ErrorOptions) {
    super(`${service}: ${detail} (${status})`, options);
    this.name = 'BackendError';
  }
}

export async function products(): Promise<Product[]> {
  return call('catalogue', `${backends.catalogue}/products`);
}

/** Null if there is no such product. */
export async function product(id: string): Promise<Product | null> {
  try {
    return await call('catalogue', `${backends.catalogue}/products/${encodeURIComponent(id)}`);
  } catch (error) {
    if (error instanceof BackendError && error.status === 404) return null;
    throw error;
  }
}

export async function checkout(order: Order): Promise<Receipt> {
  return call('orders', `${backends.orders}/checkout`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(order),
  });
}

async function call<T>(service: string, url: string, init: RequestInit = {}): Promise<T> {
  try {
    const response = await fetch(url, { ...init, cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const body = await response.json();
    if (!response.ok) throw new BackendError(service, response.status, body.error ?? response.statusText);
    return body as T;
  } catch (cause) {
    const error = cause instanceof BackendError ? cause : new BackendError(service, 503, 'no answer', { cause });
    if (error.status >= 500) log.error({ err: error, peer: service }, `${service} failed`);
    throw error;
  }
}
