/**
 * Where everything is: as this server reaches it, and as the visitor's browser does. Read when a request is served, so that
 * one build runs anywhere.
 */
export interface BrowserConfig {
  otlp: string;
  tercet: string;
  backends: { catalogue: string; orders: string; payments: string };
}

export const backends = {
  catalogue: process.env.CATALOGUE_URL ?? 'http://127.0.0.1:8001',
  orders: process.env.ORDERS_URL ?? 'http://127.0.0.1:8002',
};

export function browserConfig(): BrowserConfig {
  const env = process.env;
  return {
    otlp: env.BROWSER_OTLP_ENDPOINT ?? 'http://localhost:4318',
    tercet: env.BROWSER_TERCET_URL ?? 'http://localhost:3000',
    backends: {
      catalogue: env.BROWSER_CATALOGUE_URL ?? 'http://localhost:8001',
      orders: env.BROWSER_ORDERS_URL ?? 'http://localhost:8002',
      payments: env.BROWSER_PAYMENTS_URL ?? 'http://localhost:8003',
    },
  };
}
