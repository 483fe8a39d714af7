import { isOn } from '@/lib/faults';

export const dynamic = 'force-dynamic';

const ALSO_BOUGHT = {
  anchor: ['davit', 'fender', 'buoy'],
  buoy: ['fender', 'anchor', 'ensign'],
  compass: ['sextant', 'gimbal', 'logbook'],
  sextant: ['logbook', 'compass'],
};

/** The script of the product pages, a file of its own as such widgets often are. With the fault `broken-bundle` it throws on load. */
export function GET() {
  const table = isOn('broken-bundle') ? 'undefined' : JSON.stringify(ALSO_BOUGHT);
  const script = `(function showAlsoBought() {
  var table = ${table};
  var id = location.pathname.split('/').pop();
  var found = table[id] || table.anchor;
  dispatchEvent(new CustomEvent('also-bought', { detail: found }));
})();
`;
  return new Response(script, {
    headers: { 'content-type': 'text/javascript; charset=utf-8', 'cache-control': 'no-store' },
  });
}
