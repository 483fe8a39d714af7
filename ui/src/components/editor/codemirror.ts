// A CodeMirror editor for one query. Loaded when the first editor is shown; until then a plain text field stands in.
import { closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching } from "@codemirror/language";
import { EditorState, Prec, StateEffect, StateField, type Extension } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, keymap, placeholder } from "@codemirror/view";
import { type LanguageOptions, languageOf } from "./languages";

export interface EditorOptions extends LanguageOptions {
  language: "promql" | "traceql" | "logs";
  value: string;
  label: string;
  placeholder?: string;
  onChange: (value: string) => void;
  onRun: (value: string) => void;
}

export interface Editor {
  setValue(value: string): void;
  /** Marks the place of an error; undefined takes the mark away. */
  setError(position: number | undefined): void;
  focus(): void;
  destroy(): void;
}

const setMark = StateEffect.define<number | undefined>();

const errorMark = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, tr) {
    for (const e of tr.effects) {
      if (!e.is(setMark)) continue;
      const length = tr.state.doc.length;
      if (e.value === undefined || !length) return Decoration.none;
      const from = Math.min(e.value, length - 1);
      const word = /^[\w.:]+/.exec(tr.state.sliceDoc(from));
      return Decoration.set([Decoration.mark({ class: "query-error-mark" }).range(from, Math.min(length, from + (word?.[0].length ?? 1)))]);
    }
    return tr.docChanged ? Decoration.none : marks;
  },
  provide: (f) => EditorView.decorations.from(f),
});

function nonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
}

export function mount(host: HTMLElement, o: EditorOptions): Editor {
  const run = (view: EditorView) => { o.onRun(view.state.doc.toString()); return true; };
  const extensions: Extension[] = [
    EditorView.cspNonce.of(nonce()),
    Prec.highest(keymap.of([{ key: "Shift-Enter", run }, { key: "Mod-Enter", run }])),
    history(), bracketMatching(), closeBrackets(), errorMark,
    keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": o.label, spellcheck: "false" }),
    EditorView.updateListener.of((u) => u.docChanged && o.onChange(u.state.doc.toString())),
    ...(o.placeholder ? [placeholder(o.placeholder)] : []),
    ...languageOf(o.language, o),
  ];
  const view = new EditorView({ state: EditorState.create({ doc: o.value, extensions }), parent: host });
  return {
    setValue(value) {
      if (value !== view.state.doc.toString()) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: value } });
    },
    setError: (position) => view.dispatch({ effects: setMark.of(position) }),
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}
