// Runs both linters of the Amazon States Language on {name: definition} from stdin. Prints [{name, linter, message}].
const aslValidator = require("asl-validator");
const { getLanguageService, TextDocument } = require("amazon-states-language-service");

async function lint(name, definition) {
  const { errors } = aslValidator(definition);
  const service = getLanguageService({});
  const document = TextDocument.create(`${name}.asl.json`, "asl", 1, JSON.stringify(definition, null, 2));
  const diagnostics = await service.doValidation(document, service.parseJSONDocument(document));
  return [
    ...errors.map((error) => ({ name, linter: "asl-validator", message: `${error["Error code"]}: ${error.Message}` })),
    ...diagnostics.map(({ message }) => ({ name, linter: "amazon-states-language-service", message })),
  ];
}

async function main() {
  const definitions = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const found = await Promise.all(Object.entries(definitions).map(([name, definition]) => lint(name, definition)));
  console.log(JSON.stringify(found.flat()));
}

main();
