/** Next.js calls this once, before it serves anything. */
export async function register() {
  if (process.env.NEXT_RUNTIME === 'nodejs') await import('./telemetry/node');
}
