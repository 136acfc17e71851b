//! As much of a shell as health commands use: words, quotes, `$NAME`, and commands joined by `&&`, `||` and `;`.

/// `sh -c COMMAND`; the answer is the exit code.
pub(crate) fn run(args: &[String]) -> i32 {
    let Some(line) = args.iter().skip_while(|a| a.starts_with('-')).next() else {
        eprintln!("sh: only 'sh -c COMMAND' is understood");
        return 2;
    };
    let mut code = 0;
    let mut joined_by = Word::Then;
    let mut command: Vec<String> = Vec::new();
    let mut words = split(line);
    words.push(Word::Then);
    for word in words {
        match word {
            Word::Text(text) => command.push(text),
            operator => {
                let due = match joined_by {
                    Word::And => code == 0,
                    Word::Or => code != 0,
                    _ => true,
                };
                if due && !command.is_empty() {
                    code = execute(&command);
                }
                command.clear();
                joined_by = operator;
            }
        }
    }
    code
}

fn execute(command: &[String]) -> i32 {
    let command = if command[0] == "exec" { &command[1..] } else { command };
    let command = without_redirections(command);
    let code = crate::tool(&command);
    if command.first().is_some_and(|word| word == "exit") {
        std::process::exit(code);
    }
    code
}

/// Output goes where the container's output goes, whatever `>/dev/null` and `2>&1` ask for.
fn without_redirections(command: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = command.iter();
    while let Some(word) = words.next() {
        let Some(target) = word.trim_start_matches(['1', '2', '&']).strip_prefix('>') else {
            kept.push(word.clone());
            continue;
        };
        if target.trim_start_matches('>').is_empty() {
            words.next();
        }
    }
    kept
}

enum Word {
    Text(String),
    And,
    Or,
    Then,
}

fn split(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut text: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                text.get_or_insert_default();
            }
            (None | Some('"'), '$') => {
                let mut name = String::new();
                while let Some(n) = chars.next_if(|n| n.is_alphanumeric() || "_{}".contains(*n)) {
                    name.push(n);
                }
                let value = std::env::var(name.trim_matches(['{', '}'])).unwrap_or_default();
                text.get_or_insert_default().push_str(&value);
            }
            (None, c) if c.is_whitespace() => words.extend(text.take().map(Word::Text)),
            (None, ';') => {
                words.extend(text.take().map(Word::Text));
                words.push(Word::Then);
            }
            (None, '&' | '|') if chars.peek() == Some(&c) => {
                chars.next();
                words.extend(text.take().map(Word::Text));
                words.push(if c == '&' { Word::And } else { Word::Or });
            }
            (_, c) => text.get_or_insert_default().push(c),
        }
    }
    words.extend(text.map(Word::Text));
    words
}
