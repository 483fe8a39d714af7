/** A session: one visitor until half an hour of silence, or four hours. Its id is on every span and event. */
import { logs, SeverityNumber } from '@opentelemetry/api-logs';
import {
  createDefaultSessionIdGenerator,
  createLocalStorageSessionStore,
  createSessionManager,
} from '@opentelemetry/browser-sdk/session';

export const sessions = createSessionManager({
  sessionIdGenerator: createDefaultSessionIdGenerator(),
  sessionStore: createLocalStorageSessionStore(),
  maxDuration: 4 * 60 * 60,
  inactivityTimeout: 30 * 60,
});

sessions.addObserver({
  onSessionStarted: (session, previous) => {
    const attributes = { 'session.id': session.id, ...(previous && { 'session.previous_id': previous.id }) };
    logs.getLogger('session').emit({ eventName: 'session.start', severityNumber: SeverityNumber.INFO, attributes });
  },
  onSessionEnded: (session) => {
    const attributes = { 'session.id': session.id };
    logs.getLogger('session').emit({ eventName: 'session.end', severityNumber: SeverityNumber.INFO, attributes });
  },
});
