// Builds the playground into packages/lab/dist/playground; `--serve [--port n]` then serves it on this machine.
//   npm run playground -- --serve
import { parseArgs } from "node:util";
import { servePlayground } from "../packages/lab/src/cli/playground-server.js";
import { buildPlayground, PLAYGROUND_DIRECTORY } from "./build-playground.js";

const { values } = parseArgs({
  options: { serve: { type: "boolean", default: false }, port: { type: "string", default: "0" } },
});
const port = Number(values.port);
if (!/^[0-9]{1,5}$/.test(values.port) || port > 65535) {
  console.error(
    `error: option --port: "${values.port}" is not valid; allowed: a whole number from 0 to 65535`,
  );
  process.exit(2);
}

const { files } = await buildPlayground();
for (const { name, bytes } of files) console.log(`${String(bytes).padStart(9)}  ${name}`);
console.log(`${String(files.reduce((sum, { bytes }) => sum + bytes, 0)).padStart(9)}  bytes in all`);
if (values.serve) {
  const server = await servePlayground(PLAYGROUND_DIRECTORY, port);
  console.log(`${server.address} (Ctrl+C ends it)`);
} else console.log(`packages/lab/dist/playground/index.html`);
