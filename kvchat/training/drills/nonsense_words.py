"""Parts of questions that make no sense."""

NONSENSE: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("What does the {} {} smell like?", "How heavy is the {} {}?", "How does the {} {} taste?", "What colour is the {} {}?"),
        ("number", "letter", "word", "sound of"),
        ("four", "seven", "B", "maybe", "nine", "often", "silence", "two", "M", "because"),
    ),
    (
        ("How many {} are there in a {}?", "How many {} does a {} have?", "Count the {} of a {}."),
        ("wings", "corners", "teeth", "kilograms of music", "Tuesdays", "elbows", "stairs", "dreams"),
        ("sentence", "smell", "Wednesday", "thought", "colour", "noise", "minute", "wish"),
    ),
    (
        ("Why do {} {}?", "When did {} {}?", "Do {} {}?"),
        ("triangles", "shadows", "spoons", "numbers", "verbs", "clouds", "prime numbers", "doorknobs", "Mondays"),
        ("marry on the moon", "drink their own names", "sleep inside a taste", "vote for cheese", "sing to the alphabet", "wear invisible noise", "eat the future"),
    ),
    (
        ("Is {} louder than {}?", "What is {} divided by {}?", "Which is older, {} or {}?", "How do I fold {} into {}?", "Can {} forgive {}?"),
        ("green", "yesterday", "a question mark", "the taste of salt", "left", "the letter K", "a whisper of soup"),
        ("a square", "Thursday", "the smell of blue", "upstairs", "the opposite of a chair", "a sleepy comma", "nothing twice"),
    ),
    (
        ("{} {}", "{} {} please", "Tell me about {} {}."),
        ("flimp", "blork", "zuggy", "quandle", "asdf", "wibbly", "snorp", "grumfle"),
        ("drevin", "mop snee", "jkl qwer", "trundlewax", "hoobit", "plixy nar", "fnord ip"),
    ),
)  # fmt: skip
"""Forms of a question, and what is put into their two places."""
