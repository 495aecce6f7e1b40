/** How the user called this program, for commands that it suggests: by npm's script in a checkout, by npx, or by name. */
export function invocation(environment: NodeJS.ProcessEnv = process.env): string {
  const script = environment.npm_lifecycle_event;
  if (script === "npx") return "npx hyperwalk";
  return script === "hyperwalk" ? "npm run -s hyperwalk --" : "hyperwalk";
}
