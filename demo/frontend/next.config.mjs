/** @type {import('next').NextConfig} */
export default {
  poweredByHeader: false,
  eslint: { ignoreDuringBuilds: true },
  experimental: {
    instrumentationHook: true, // Next.js 14 calls instrumentation.ts only with this
    // Packages that patch others when they are loaded have to stay outside of the bundle, and so has what they patch.
    serverComponentsExternalPackages: [
      'pino',
      '@opentelemetry/instrumentation',
      '@opentelemetry/instrumentation-pino',
      '@opentelemetry/instrumentation-runtime-node',
      '@opentelemetry/instrumentation-undici',
      '@opentelemetry/sdk-node',
    ],
  },
};
