// preinstall guard: plain `npm install` links no workspace package, so stop it with the command that works.
if (!(process.env.npm_config_user_agent ?? "").startsWith("pnpm/")) {
  console.error(
    "hyperwalk is a pnpm workspace. Run `npm run setup` (it fetches the pinned pnpm through npx).",
  );
  process.exit(1);
}
