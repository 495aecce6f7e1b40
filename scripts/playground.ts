// Builds the playground into packages/lab/dist/playground; `--serve [--port n]` then serves it on this machine.
//   npm run playground -- --serve
import { wholeNumber } from "../packages/lab/src/cli/option-values.js";
import { servePlayground } from "../packages/lab/src/cli/playground-server.js";
import { buildPlayground, PLAYGROUND_DIRECTORY } from "./build-playground.js";
import { scriptArguments } from "./command-line.js";

const { values } = scriptArguments("playground", {
  serve: { parse: () => true, otherwise: false },
  port: { value: "N", parse: wholeNumber("--port", 0, 65535), otherwise: 0 },
});

const { files } = await buildPlayground();
for (const { name, bytes } of files) console.log(`${String(bytes).padStart(9)}  ${name}`);
console.log(`${String(files.reduce((sum, { bytes }) => sum + bytes, 0)).padStart(9)}  bytes in all`);
if (values.serve) {
  const server = await servePlayground(PLAYGROUND_DIRECTORY, values.port);
  console.log(`${server.address} (Ctrl+C ends it)`);
} else console.log(`packages/lab/dist/playground/index.html`);
