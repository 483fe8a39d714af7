/** A product's picture: drawn from its id, so that nothing has to be fetched. */
export function Picture({ id, name }: { id: string; name: string }) {
  let hash = 0;
  for (const c of id) hash = (hash * 31 + c.charCodeAt(0)) % 360;
  return (
    <svg className="picture" viewBox="0 0 160 110" role="img" aria-label={name}>
      <rect width="160" height="110" fill={`hsl(${hash} 45% 90%)`} />
      <path d="M0 78 q20 -10 40 0 t40 0 t40 0 t40 0 V110 H0z" fill={`hsl(${hash} 45% 72%)`} />
      <path d="M0 92 q20 -10 40 0 t40 0 t40 0 t40 0 V110 H0z" fill={`hsl(${hash} 45% 58%)`} />
      <text x="80" y="62" textAnchor="middle" fontSize="40" fontWeight="600" fill={`hsl(${hash} 55% 30%)`}>
        {name.slice(0, 1).toUpperCase()}
      </text>
    </svg>
  );
}
