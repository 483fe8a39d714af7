import { render } from "preact";
import "./tokens.css";
import "./base.css";
import "./lib/theme";
import { App } from "./app";

render(<App />, document.getElementById("app")!);
