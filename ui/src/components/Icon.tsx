// The UI's few icons, drawn on a 16 x 16 grid with the text's colour.

const paths = {
  home: "M2.5 7.5 8 3l5.5 4.5V13H9.8V9.5H6.2V13H2.5z",
  metrics: "M2 13h12M3 10.5l3-4 2.5 2.5L13 4",
  logs: "M2.5 4h11M2.5 7h8M2.5 10h11M2.5 13h6",
  traces: "M2 4h7M5 8h8M7 12h5",
  services: "M3.5 6.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM12.5 9.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM4.5 14.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM5.4 5.2l5.2 1.6M6.2 11.4l4.7-2.7",
  users: "M8 8a2.8 2.8 0 1 0 0-5.6A2.8 2.8 0 0 0 8 8zM2.8 14c.4-2.8 2.5-4.2 5.2-4.2s4.8 1.4 5.2 4.2",
  storage: "M2.5 4c0-1.1 2.5-2 5.5-2s5.5.9 5.5 2-2.5 2-5.5 2-5.5-.9-5.5-2zM2.5 4v8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2V4M2.5 8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2",
  cluster: "M8 5.5a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6zM3.6 13.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6zM12.4 13.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6zM7.1 5.2 4.5 10.4M8.9 5.2l2.6 5.2M5.4 12h5.2",
  copy: "M5.5 5.5h7v8h-7zM3.5 10.5v-8h7",
  close: "M4 4l8 8M12 4l-8 8",
  search: "M7 12a5 5 0 1 0 0-10 5 5 0 0 0 0 10zM10.8 10.8 14 14",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  refresh: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3",
  left: "M10 3 5 8l5 5",
  right: "M6 3l5 5-5 5",
  down: "M3 6l5 5 5-5",
  zoomOut: "M7 12a5 5 0 1 0 0-10 5 5 0 0 0 0 10zM10.8 10.8 14 14M4.8 7h4.4",
  link: "M6.5 9.5l3-3M7.2 4.8 9 3a2.8 2.8 0 0 1 4 4l-1.8 1.8M8.8 11.2 7 13a2.8 2.8 0 0 1-4-4l1.8-1.8",
  theme: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  help: "M6 6a2 2 0 1 1 2.8 1.9c-.6.3-.8.6-.8 1.3M8 11.6v.1",
  warning: "M8 2.5 14.5 13.5h-13zM8 6.5v3.2M8 11.6v.1",
  play: "M4.5 3v10l8-5z",
  pause: "M5 3v10M11 3v10",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" style={{ flex: "none" }}>
      <path d={paths[name]} />
    </svg>
  );
}
