"""Messages that make no sense: category mistakes as phrases for `spun`, made-up words, stray keys."""

import random
from collections.abc import Mapping

WORDS: Mapping[str, tuple[str, ...]] = {
    "abstract": ("number", "letter", "word", "sound", "Tuesday", "minute", "comma", "idea", "thought", "silence", "corner", "colour", "wish", "echo", "shadow", "question"),
    "abstract_b": ("sentence", "smell", "Wednesday", "thought", "noise", "minute", "wish", "rule", "melody", "opinion", "dream", "alphabet", "reason", "hole"),
    "parts": ("wings", "corners", "teeth", "elbows", "stairs", "Mondays", "kilograms", "feathers", "wheels", "onions", "pockets", "windows", "grandmothers"),
    "things": ("triangles", "shadows", "spoons", "numbers", "verbs", "clouds", "prime numbers", "doorknobs", "Mondays", "commas", "staircases", "lemons", "echoes", "calendars", "buttons", "holes", "pencils"),
    "act": ("marry on the moon", "drink their own names", "sleep inside a taste", "vote for cheese", "sing to the alphabet", "wear invisible noise", "eat the future", "swim through grammar", "borrow the smell of seven", "whisper to arithmetic", "boil the weekend", "argue with purple", "iron the sea", "knit the wind sideways", "forget to be square"),
    "odd": ("green", "yesterday", "a question mark", "the taste of salt", "left", "the letter K", "a whisper of soup", "the colour of Friday", "half a silence", "a round corner", "the number seven", "upstairs", "the back of a smell"),
    "odd_b": ("a square", "Thursday", "the smell of blue", "sideways", "the opposite of a chair", "a sleepy comma", "nothing twice", "the inside of a song", "a boiled adjective", "three wet ideas", "a loud triangle", "the end of a circle"),
    "how_is": ("sharp", "wet", "salty", "married", "heavy", "hungry", "wooden", "spicy", "tall", "square"),
    "word": ("cheese", "window", "Tuesday", "banana", "seven", "purple", "ladder", "because", "sock", "moon", "spoon", "under", "lamp", "slowly", "goat", "the", "pencil", "maybe", "soup", "three", "if", "carpet", "sleeps", "river"),
    "word_b": ("fish", "between", "cupboard", "quickly", "orange", "wheel", "never", "button", "cloud", "of", "hat", "nine", "loud", "potato", "eleven", "behind", "chair", "sings", "brick", "on"),
    "word_c": ("umbrella", "yes", "mountain", "salt", "often", "jump", "paper", "green", "why", "drum", "into", "cat", "sugar", "again", "table", "wet", "and", "stone"),
}  # fmt: skip

FORMS: tuple[str, ...] = (
    "What does the <abstract> [four|B|maybe|nine|often|two|because] smell like?",
    "How heavy is [the <abstract>|a <abstract> of <things>]?",
    "How does [a <abstract>|the <abstract>] taste[ with sugar| on Mondays|]?",
    "What [colour|shape|weight|age|temperature] is [a <abstract>|the <abstract> of a <abstract_b>]?",
    "How many <parts> [are there in|does it take to fill|fit in] a <abstract_b>?",
    "How many <parts> does a <abstract_b> have?",
    "Count the <parts> of a <abstract_b>.",
    "Why do <things> <act>?",
    "When did <things> <act>?",
    "Do <things> <act>?",
    "Can <things> <act>[ before breakfast| on Tuesdays|]?",
    "Where do <things> <act>?",
    "Is <odd> [louder|older|wetter|sharper|faster|more polite] than <odd_b>?",
    "What is <odd> [divided by|times|minus|plus|without] <odd_b>?",
    "Which is [older|heavier|more wooden], <odd> or <odd_b>?",
    "How do I [fold|pour|screw|translate|plant|park] <odd> into <odd_b>?",
    "Can <odd> forgive <odd_b>?",
    "Why is <odd> so <how_is>?",
    "Is a <abstract_b> as <how_is> as <odd>?",
    "My <abstract> has eaten <odd_b>. [What now|Why]?",
    "If <odd> is <how_is>, how many <parts> is <odd_b>?",
    "Please [peel|iron|feed|water|unlock] <odd>.",
    "<word> <word_b> <word_c>",
    "<word> <word_b> <word_c> <abstract>",
    "<word_c> <word> the <word_b> <abstract_b>?",
)  # fmt: skip

UNCLEAR: tuple[str, ...] = (
    "That does not make sense to me. Could you [ask|say it] in another way?",
    "I do not understand that. It makes no sense to me. Could you say it in another way?",
    "I don't think that makes sense. Can you [put|say] it in other words?",
    "Sorry, I cannot answer that, because it does not make sense. Please try other words.",
    "I do not understand[| what you mean]. Please say it in another way.",
)
STRAY: tuple[str, ...] = (
    "?", "??", "???", "????", ".", "..", "...", "......", "!", "!!!", "?!", "-", "--", ",", ";", ":", "/", "*", "#", "@", "0_o", "%%%", "&", "+", "=", "_", "~", "()", "][", "$$$",
    "😀", "😂😂", "👍", "🎉", "🤔", "😢", "❤️", "🐱", "🍕🍕", "🙈", "👋", "🔥🔥🔥", "🌈", "😴", "🚀", "☀️", "💤", "🤖", "😡", "🐶🐱",
    "x", "q", "zz", "m", "e", "jj", "a", "ggg", "kkk", "1", "77", "123", "0000", "4 4 4",
    "asdf", "asdfgh", "asdfghjkl", "qwerty", "qwertz", "jkl", "sdfsdf", "hjkl", "fgfgfg", "lkjlkj", "aaaaaa", "xxxx", "dfg dfg", "wasd", "zxcv", "poiuy", "blah blah", "bla bla bla", "la la la", "hmpf", "mmmmm", "uiuiui", "asd asd", "fjdksla", "tztztz",
)  # fmt: skip
_STARTS = ("bl", "fl", "gr", "sn", "z", "qu", "tr", "dr", "pl", "w", "v", "sk", "m", "br", "gl", "kl", "h", "sp", "n", "shr")  # fmt: skip
_MIDDLES = ("a", "e", "i", "o", "u", "oo", "ee", "a", "o", "u")
_ENDS = ("rk", "mp", "nzle", "gget", "bbit", "ffle", "xy", "ndle", "rp", "ng", "zz", "lder", "vin", "bo", "mfel", "quil", "sh", "tch")  # fmt: skip
_KEYS = ("asdfghjkl", "qwertzuiop", "yxcvbnm", "qwertyuiop", "zxcvbnm")


def made_up_word(rng: random.Random) -> str:
    """Return a word that is none, but can be said."""
    return rng.choice(_STARTS) + rng.choice(_MIDDLES) + rng.choice(_ENDS)


def stray_keys(rng: random.Random) -> str:
    """Return what a hand or a cat leaves on the keyboard."""
    row = rng.choice(_KEYS)
    return "".join(rng.choice(row) for _ in range(rng.randint(4, 12)))
