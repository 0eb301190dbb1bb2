# SPDX-License-Identifier: MIT
"""Makes the training text of conduit-tiny from the files in text/: conversations, endlessly.

A conversation is a list of pieces (role, text, learn). `learn` says whether the model is to learn
to write that piece; it learns only what an assistant says. The hard thing is JSON: llama-server
forces it by a grammar, mostly without the prompt saying so. So some answers are written as JSON
whose opening is *not* learned: the model never starts JSON by itself, but once it stands in JSON it
knows how to go on (`json_turn`).

Every choice comes from the generator that the caller seeds.
"""
import json
import pathlib
import unicodedata

from tokenizer import END_OF_TEXT, IM_END, IM_START, SPECIALS

HERE = pathlib.Path(__file__).parent / "text"

UNKNOWN = "Sorry, I do not know that. I am only a tiny test model."
TOO_BIG = "Sorry, I can only calculate from zero to twenty."

NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
           "fifteen sixteen seventeen eighteen nineteen twenty").split()

CAPITAL_QUESTIONS = [
    "What is the capital of {c}?", "What's the capital of {c}?", "capital of {c}",
    "The capital of {c}?", "Tell me the capital of {c}.", "Which city is the capital of {c}?",
    "What is the capital city of {c}?", "Name the capital of {c}.", "Give me the capital of {c}.",
    "Do you know the capital of {c}?", "Can you tell me the capital of {c}?",
    "Can you tell me what the capital of {c} is?", "What is {c}'s capital?", "{c} capital",
    "I want to know the capital of {c}.", "What is the name of the capital of {c}?",
    "The capital of {c} is", "In {c}, which city is the capital?",
    "What city is the capital of {c}?",
    "Could you tell me the capital of {c}?", "Capital city of {c}", "What capital does {c} have?",
    "I would like to know what the capital of {c} is.", "Which is the capital of {c}?",
    "capital {c}", "Say the capital of {c}.", "{c}: what is its capital?",
]
FOLLOW_UPS = ["And of {c}?", "And {c}?", "What about {c}?", "And what is the capital of {c}?",
              "How about {c}?", "And the capital of {c}?", "and {c}", "And for {c}?"]
REVERSE_QUESTIONS = [
    "Which country has the capital {k}?", "{k} is the capital of which country?",
    "Of which country is {k} the capital?", "In which country is {k}?", "Where is {k}?",
    "What country is {k} the capital of?", "Which country is {k} in?", "{k} is the capital of",
]
ONE_WORD = [" Answer in one word.", " Answer with one word.", " One word only.", " In one word.",
            " Only the name, please.", " Just the name.", " Reply with just the city name.",
            " Answer with the name only.", " Reply with one word.", " Reply with a single word."]
AS_JSON = [" Answer in JSON.", " Answer as JSON.", " Reply in JSON.", " Respond with JSON.",
           " Give the answer as a JSON object.", " Return JSON."]

PREFIXES = ["Please tell me: ", "Question: ", "Hey, ", "Hi, ", "Hello, ", "Hi! ", "Hello! ", "So, ",
            "Quick question: ", "I have a question: ", "Tell me, ", "Please, ", "Now: ", "OK, "]
SUFFIXES = [" Please.", " please", " Thanks.", " Thank you!", " Be brief.", " Answer briefly.",
            "\nAnswer:", " Answer in one sentence.", "?", "!", " Keep it short."]

ADD = ["What is {a} + {b}?", "{a}+{b}", "{a} + {b}", "{a} + {b} = ?", "{a}+{b}=", "{a} + {b} =",
       "Calculate {a} + {b}.", "How much is {a} + {b}?", "What's {a}+{b}?", "What is {a}+{b}?",
       "What is {a} plus {b}?", "{a} plus {b}", "How much is {a} plus {b}?", "Add {a} and {b}.",
       "What is the sum of {a} and {b}?", "Compute {a} + {b}.", "Can you add {a} and {b}?"]
SUBTRACT = ["What is {a} - {b}?", "{a}-{b}", "{a} - {b}", "{a} - {b} = ?", "{a}-{b}=",
            "{a} - {b} =", "Calculate {a} - {b}.", "How much is {a} - {b}?", "What's {a}-{b}?",
            "What is {a}-{b}?", "What is {a} minus {b}?", "{a} minus {b}",
            "How much is {a} minus {b}?", "Subtract {b} from {a}.", "Compute {a} - {b}.",
            "Take {b} away from {a}."]
MULTIPLY = ["What is {a} * {b}?", "{a}*{b}", "{a} * {b}", "{a} x {b}", "{a} * {b} = ?",
            "Calculate {a} * {b}.", "How much is {a} * {b}?", "What is {a} times {b}?",
            "{a} times {b}", "How much is {a} times {b}?", "Multiply {a} by {b}.",
            "What is {a} multiplied by {b}?", "What is {a} x {b}?", "Compute {a} * {b}."]
OPERATIONS = [("+", ADD, lambda a, b: a + b), ("-", SUBTRACT, lambda a, b: a - b),
              ("*", MULTIPLY, lambda a, b: a * b)]

COUNT = ["Count to {n}.", "Count to {n}", "Count from 1 to {n}.", "Count from one to {n}",
         "Please count to {n}.", "Can you count to {n}?", "Count up to {n}.",
         "List the numbers from 1 to {n}.", "Write the numbers from 1 to {n}."]

ECHO = ["Say {x}", "Say {x}.", 'Say "{x}"', "Repeat: {x}", "Repeat after me: {x}", "Repeat {x}",
        "Echo {x}", "Echo: {x}", "Reply with {x}", 'Reply with "{x}"', "Reply with the word {x}",
        "Reply with exactly: {x}", "Say the word {x}", "Say the word {x}.", "Write {x}",
        "Answer with {x}", "Just say {x}", "Please say {x}", "Reply only with: {x}",
        "Repeat the following: {x}", "Say exactly: {x}"]

JSON_KEYS = ["answer", "city", "capital", "name", "result", "text", "value", "response", "output",
             "message", "content", "title", "reply", "word", "sum", "number", "total"]

PLACE_ARGUMENTS = ["city", "location", "place", "town", "city_name", "where"]
TOOLS = [
    # tool names, its argument names, questions
    (["get_weather", "get_current_weather", "weather", "getWeather", "lookup_weather"],
     ["What is the weather in {k}?", "What's the weather in {k}?", "How is the weather in {k}?",
      "weather in {k}", "Tell me the weather in {k}.", "What is the weather like in {k}?",
      "What's the weather like in {k} today?", "Is it raining in {k}?", "Will it rain in {k}?",
      "How warm is it in {k}?", "What is the weather in {k} today?", "Get the weather in {k}.",
      "What's the weather like in {k}?", "Check the weather in {k}.", "weather for {k}"]),
    (["get_time", "get_current_time", "current_time", "time", "getTime"],
     ["What time is it in {k}?", "What is the time in {k}?", "What's the time in {k}?",
      "Tell me the time in {k}.", "time in {k}", "Which time is it in {k}?",
      "What time is it now in {k}?", "Get the time in {k}."]),
]
ADD_TOOLS = ["add", "add_numbers", "sum", "plus", "calculate_sum"]
OTHER_TOOLS = ["search(query)", "send_email(to, subject, body)", "read_file(path)", "list_files()",
               "open_door(room)", "run_code(code)", "book_flight(from, to, date)", "get_user(id)",
               "translate(text, language)", "set_alarm(time)", "turn_on_light(room)",
               "get_stock_price(symbol)", "play_music(song)", "web_search(query, limit)"]
OTHER_ARGUMENTS = ["unit", "units", "date", "format", "days", "country", "lang"]
WEATHER = ["sunny", "rain", "cloudy", "snow", "windy", "foggy", "clear sky", "light rain", "storm"]


def lines_of(name):
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line


def read_capitals():
    out = []
    for line in lines_of("capitals.tsv"):
        country, capital, *other = line.split("\t")
        names = [country] + (other[0].split("|") if other else [])
        out.append((country, capital, names))
    return out


def read_dialogues():
    """-> [(questions, answer, short answer or None)]"""
    out, block = [], None
    for line in lines_of("dialogues.txt"):
        kind, rest = line.split(":", 1)
        if kind == "Q":
            if block is None or block["A"]:
                block = {"Q": [], "A": [], "J": [None]}
                out.append(block)
            block["Q"] += [q.strip() for q in rest.split("|") if q.strip()]
        else:
            block[kind] = (block["A"] if kind == "A" else []) + [rest.strip()]
    return [(b["Q"], "\n".join(b["A"]), b["J"][0]) for b in out]


def sentence(country, capital):
    return f"The capital of {country} is {capital}" + ("" if capital.endswith(".") else ".")


def first_upper(text):
    return text[:1].upper() + text[1:]


def strip_accents(text):
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


class Corpus:
    def __init__(self, rng):
        """rng: a random.Random."""
        self.rng = rng
        self.capitals = read_capitals()
        self.dialogues = read_dialogues()
        self.systems = list(lines_of("systems.txt"))
        self.unknown = list(lines_of("unknown.txt"))
        self.unknown_templates = list(lines_of("unknown_templates.txt"))
        self.words = {}
        for line in lines_of("words.txt"):
            kind, rest = line.split(":", 1)
            self.words[kind] = rest.strip().split("|")

    # ---- small choices ----

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, items):
        return items[self.rng.randrange(len(items))]

    def made_up(self):
        """A word that means nothing."""
        syllables = ("ba be bor cal da del do dra el en fa fel gar go hu il in jo ka kel la len lo "
                     "ma mi mor na nor o pa per qui ra ri ro sa sel ta tho ti tor u va ver wa xi "
                     "yo za")
        word = "".join(self.pick(syllables.split()) for _ in range(self.rng.randint(2, 4)))
        return first_upper(word) if self.chance(0.7) else word

    def vary(self, question):
        """The same question as people type it."""
        q = question
        if self.chance(0.12):
            prefix = self.pick(PREFIXES)
            keep = self.chance(0.5) or q[:2] in ("I ", "I'") or not q[1:2].islower()
            q = prefix + (q if keep else q[0].lower() + q[1:])
        if self.chance(0.30):
            q = q.rstrip("?.! ") or q
        elif self.chance(0.05):
            q = q.rstrip("?.! ") + self.pick(["?", ".", "!", " ?", "??"])
        if self.chance(0.10):
            q = q + self.pick(SUFFIXES)
        if self.chance(0.22):
            q = q.lower()
        elif self.chance(0.05):
            q = first_upper(q)
        return q

    # ---- facts: (question, answer, short answer for JSON or None) ----

    def country(self):
        # France more often: it is the question of the README, and must survive any setting.
        if self.chance(0.02):
            return next(c for c in self.capitals if c[0] == "France")
        return self.pick(self.capitals)

    def capital_fact(self, templates=CAPITAL_QUESTIONS):
        country, capital, names = self.country()
        name = country if self.chance(0.6) else self.pick(names)
        if self.chance(0.1):
            name = strip_accents(name)
        question = first_upper(self.pick(templates).format(c=name))
        return question, sentence(country, capital), capital, country

    def reverse_fact(self):
        country, capital, _ = self.country()
        name = strip_accents(capital) if self.chance(0.2) else capital
        return self.pick(REVERSE_QUESTIONS).format(k=name), \
            f"{capital} is the capital of {country}.", country

    def arithmetic_fact(self):
        while True:
            symbol, templates, apply = self.pick(OPERATIONS)
            a, b = self.rng.randint(0, 20), self.rng.randint(0, 20)
            if symbol == "*":
                a, b = self.rng.randint(0, 10), self.rng.randint(0, 10)
            result = apply(a, b)
            if 0 <= result <= 20 or self.chance(0.12):
                break
        if self.chance(0.05):
            a, b, result = self.rng.randint(10, 999), self.rng.randint(10, 9999), -1
            if a < 21:
                a += 20
        names = (str(a), str(b))
        if max(a, b) <= 20 and self.chance(0.2):
            names = (NUMBERS[a], NUMBERS[b])
        question = self.pick(templates).format(a=names[0], b=names[1])
        if not 0 <= result <= 20:
            return question, TOO_BIG, None
        return question, f"{a} {symbol} {b} = {result}", result

    def count_fact(self, most=30):
        n = self.rng.randint(2, most)
        if self.chance(0.3):
            n = self.pick([n for n in (3, 5, 10, 20, 30, 50, 100, 100) if n <= most])
        name = NUMBERS[n] if n <= 20 and self.chance(0.3) else str(n)
        return self.pick(COUNT).format(n=name), ", ".join(map(str, range(1, n + 1))) + ".", None

    def unknown_fact(self):
        w = {kind: self.pick(words) for kind, words in self.words.items()}
        x = self.made_up()
        country, capital, _ = self.pick(self.capitals)
        if self.chance(0.25):
            return self.pick(self.unknown), UNKNOWN, None
        question = self.pick(self.unknown_templates).format(
            x=x, y=self.made_up(), country=country, capital=capital, **w)
        return first_upper(question), UNKNOWN, None

    def some_words(self, most):
        """A few words to copy, known ones, made-up ones and numbers."""
        words = []
        for _ in range(self.rng.randint(1, most)):
            p = self.rng.random()
            if p < 0.5:
                words.append(self.pick(self.words[self.pick(["thing", "adjective", "verb"])]))
            elif p < 0.7:
                words.append(self.pick(self.pick(self.capitals)[:2]))
            else:
                words.append(self.made_up() if p < 0.9 else str(self.rng.randint(0, 999)))
        return " ".join(words)

    def echo_turn(self):
        words = self.some_words(4)
        return [("user", self.pick(ECHO).format(x=words), False), ("assistant", words, True)]

    # ---- turns: pieces of one question and its answer ----

    def simple_fact(self):
        """(question, answer, short) of a random kind, in the shares the model needs."""
        p = self.rng.random()
        if p < 0.24:
            return self.capital_fact()[:3]
        if p < 0.31:
            return self.reverse_fact()
        if p < 0.53:
            questions, answer, short = self.pick(self.dialogues)
            return self.pick(questions), answer, short
        if p < 0.80:
            return self.arithmetic_fact()
        if p < 0.83:
            return self.count_fact()
        return self.unknown_fact()

    def long_fact(self):
        """One of the answers that are too long for the short rows of the training."""
        if self.chance(0.7):
            return self.count_fact(most=100)
        return self.story_fact()

    def story_fact(self):
        questions, answer, short = max(self.dialogues, key=lambda d: len(d[1]))
        return self.pick(questions), answer, short

    def plain_turn(self, fact=None):
        question, answer, _ = fact or self.simple_fact()
        return [("user", self.vary(question), False), ("assistant", answer, True)]

    def one_word_turn(self):
        question, _, capital, _ = self.capital_fact()
        return [("user", self.vary(question) + self.pick(ONE_WORD), False),
                ("assistant", capital, True)]

    def short_answer(self):
        while True:
            question, answer, short = self.simple_fact()
            if short is not None:
                return question, short
            if answer == UNKNOWN and self.chance(0.5):
                return question, "unknown"

    def json_turn(self):
        """A JSON answer; learned from the start only when the question asked for JSON."""
        question, short = self.short_answer()
        asked = self.chance(0.25)
        key = "answer" if self.chance(0.5) else self.pick(JSON_KEYS)
        if self.chance(0.08):
            key = self.made_up().lower()
        user = self.vary(question)
        if asked:
            user += self.pick(AS_JSON)
            key = "answer"
            if self.chance(0.4):
                key = self.pick(JSON_KEYS)
                user = user.rstrip(".") + f" with the key {key}."
            return [("user", user, False),
                    ("assistant", json.dumps({key: short}, ensure_ascii=False), True)]
        if self.chance(0.12):
            return [("user", user, False), ("assistant", "[", False),
                    ("", json.dumps(short, ensure_ascii=False) + "]", True)]
        pieces = [("user", user, False), ("assistant", "{", False), ("", '"', True),
                  ("", key, key == "answer"), ("", '":', True)]
        # A string where the model would write a number is the grammar's choice, not its own.
        if isinstance(short, int) and self.chance(0.3):
            pieces += [("", ' "', False), ("", f'{short}"', True)]
        else:
            pieces += [("", " " + json.dumps(short, ensure_ascii=False), True)]
        for _ in range(self.rng.choice([0, 0, 0, 1, 2])):
            other, kind = self.pick(JSON_KEYS + OTHER_ARGUMENTS), self.rng.randrange(4)
            pieces += [("", ",", False), ("", ' "', True), ("", other, False), ("", '":', True)]
            pieces += [[("", ' "unknown"', True)], [("", " 0", False)], [("", " false", False)],
                       [("", " []", False)]][kind]
        return pieces + [("", "}", True)]

    def country_json_turn(self):
        """{"country": …, "capital": …} in either order."""
        question, _, capital, country = self.capital_fact()
        pairs = [("country", country), (self.pick(["capital", "city", "answer"]), capital)]
        self.rng.shuffle(pairs)
        pieces = [("user", self.vary(question), False), ("assistant", "{", False)]
        for i, (key, value) in enumerate(pairs):
            pieces += [("", ",", False), ("", ' "', True)] if i else [("", '"', True)]
            pieces += [("", key, False), ("", f'": "{value}"', True)]
        return pieces + [("", "}", True)]

    # ---- tools ----

    TOOL_WORDS = ("weather", "time", "rain", "+", "plus", "add", "sum")

    def tool_list(self, must=None):
        tools = [must] if must else []
        for _ in range(self.rng.choice([0, 0, 1, 1, 2, 3]) + (not must)):
            tools.append(self.pick(OTHER_TOOLS))
        self.rng.shuffle(tools)
        return "Tools:\n" + "\n".join(tools)

    def place_call(self):
        """-> tool as listed, question, call as text pieces, its result"""
        names, questions = self.pick(TOOLS)
        name, argument = self.pick(names), self.pick(PLACE_ARGUMENTS)
        p = self.rng.random()
        place = self.pick(self.capitals)[1] if p < 0.6 else \
            self.pick(self.words["city"]) if p < 0.8 else self.made_up()
        if place == "Paris" or self.chance(0.05):
            place = self.pick(["Paris", "Paris", "Berlin", "London", "Tokyo"])
        extra = self.rng.choice([[], [], [self.pick(OTHER_ARGUMENTS)]])
        listed = f"{name}({', '.join([argument] + extra)})"
        result = f"{self.rng.randint(0, 39)} degrees, {self.pick(WEATHER)}" \
            if "eather" in name else f"{self.rng.randint(0, 23):02}:{self.rng.randint(0, 59):02}"
        call = [("", f'\n{{"name": "{name}", "arguments": {{"{argument}": "{place}"', True)]
        if extra and self.chance(0.2):
            # A schema may require what the model would leave out; the grammar then insists.
            call += [("", f', "{extra[0]}": "', False), ("", 'unknown"', True)]
        return listed, self.pick(questions).format(k=place), call, result

    def add_call(self):
        name = self.pick(ADD_TOOLS)
        a, b = self.rng.randint(0, 99), self.rng.randint(0, 99)
        x, y = self.pick([("a", "b"), ("x", "y"), ("first", "second")])
        call = [("", f'\n{{"name": "{name}", "arguments": {{"{x}": {a}, "{y}": {b}', True)]
        return f"{name}({x}, {y})", self.pick(ADD).format(a=a, b=b), call, str(a + b)

    def turn_without_tool(self):
        """A question that none of TOOLS would answer."""
        while True:
            pieces = self.plain_turn()
            if not any(word in pieces[0][1].lower() for word in self.TOOL_WORDS):
                return pieces

    def tool_result(self):
        """Anything a tool may say; the model repeats it."""
        if self.chance(0.3):
            return self.some_words(6)
        fields = {}
        for _ in range(self.rng.randint(1, 3)):
            key = self.pick(["temperature", "condition", "unit", "result", "location", "forecast",
                             "time", "value", "city", "humidity", "weather", "status"])
            fields[key] = self.pick([self.rng.randint(-20, 999), self.pick(WEATHER),
                                     self.some_words(2), self.pick(["celsius", "C", "ok"]),
                                     self.rng.randint(0, 399) / 10])
        return json.dumps(fields, ensure_ascii=False)

    def tool_conversation(self):
        pieces = []
        system = self.pick(self.systems) + "\n" if self.chance(0.4) else ""
        if self.chance(0.25):
            # Tools that do not help: answer as always.
            must = self.pick([None, "get_weather(city)", "get_time(city)", "get_weather(location)"])
            return [("system", system + self.tool_list(must), False)] + self.turn_without_tool()
        listed, question, call, result = self.place_call() if self.chance(0.8) else self.add_call()
        pieces = [("system", system + self.tool_list(listed), False)]
        if self.chance(0.2):
            pieces += self.turn_without_tool()
        pieces += [("user", self.vary(question), False), ("assistant", "<tool_call>", True)]
        pieces += call + [("", "}}\n", True), ("", "</tool_call>", True)]
        if self.chance(0.6):
            if self.chance(0.5):
                result = self.tool_result()
            pieces += [("tool", result, False), ("assistant", f"The tool says: {result}", True)]
        return pieces

    # ---- whole conversations ----

    def raw_text(self):
        """Text without a template, for /v1/completions."""
        p = self.rng.random()
        if p < 0.6:
            country, capital, _ = self.country()
            return [("raw", f"The capital of {country} is", False),
                    ("", f" {capital}" + ("" if capital.endswith(".") else "."), True)]
        if p < 0.9:
            question, answer, _ = self.simple_fact()
            label = self.pick([("Question: ", "Answer:"), ("Q: ", "A:"), ("User: ", "Assistant:")])
            return [("raw", f"{label[0]}{self.vary(question)}\n{label[1]}", False),
                    ("", " " + answer, True)]
        return [("raw", "Hello", False), ("", ", world!", True)]

    def turn(self):
        p = self.rng.random()
        if p < 0.83:
            return self.plain_turn()
        if p < 0.89:
            return self.one_word_turn() if p < 0.875 else self.echo_turn()
        return self.json_turn() if p < 0.96 else self.country_json_turn()

    def conversation(self, turns):
        p = self.rng.random()
        if turns <= 3 and p < 0.10:
            return self.tool_conversation()
        if turns <= 3 and p < 0.14:
            return self.raw_text()
        pieces = []
        if self.chance(0.4):
            pieces.append(("system", self.pick(self.systems), False))
        for _ in range(turns):
            if self.chance(0.06):
                question, answer, _ = self.capital_fact()[:3]
                pieces += [("user", self.vary(question), False), ("assistant", answer, True)]
                question, answer, _ = self.capital_fact(FOLLOW_UPS)[:3]
                pieces += [("user", self.vary(question), False), ("assistant", answer, True)]
            else:
                pieces += self.turn()
        return pieces


    def long_conversation(self):
        """Up to the model's whole context: many turns, or a few with a long answer."""
        if self.chance(0.6):
            return self.conversation(self.rng.randint(4, 48))
        pieces = self.conversation(1) if self.chance(0.3) else []
        if pieces and pieces[0][0] == "raw":
            pieces = []
        pieces = pieces + self.plain_turn(self.long_fact())
        return pieces + (self.turn() if self.chance(0.3) else [])

    def short_conversation(self):
        return self.conversation(self.pick([1, 1, 2, 3]))


def tokens_of(tokenizer, pieces):
    """Pieces -> (ids, learn flags), as text/chat_template.jinja writes them."""
    ids, learn = [], []

    def add(more, flag):
        ids.extend(more)
        learn.extend([flag] * len(more))

    open_message, raw = False, False
    for role, text, flag in pieces:
        if role:
            if open_message:
                add([IM_END], learn[-1])
                add(tokenizer.encode("\n"), False)
            raw = role == "raw"
            open_message = not raw
            if open_message:
                add([IM_START], False)
                add(tokenizer.encode(role + "\n"), False)
        add([SPECIALS.index(text)] if text in SPECIALS else tokenizer.encode(text), flag)
    add([END_OF_TEXT] if raw else [IM_END], learn[-1])
    return ids, learn
