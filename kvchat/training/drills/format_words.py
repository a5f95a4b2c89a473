"""Small tables, bold words, headings, numbers and quotes: what asks for them, and the Markdown."""

from collections.abc import Mapping

TABLES: tuple[tuple[str, tuple[str, str], tuple[tuple[str, str], ...]], ...] = (
    ("fruits and their colours", ("Fruit", "Colour"), (("Banana", "Yellow"), ("Cherry", "Red"), ("Lime", "Green"), ("Orange", "Orange"), ("Plum", "Purple"))),
    ("animals and their sounds", ("Animal", "Sound"), (("Cat", "Meow"), ("Dog", "Woof"), ("Cow", "Moo"), ("Duck", "Quack"), ("Sheep", "Baa"))),
    ("countries and their capitals", ("Country", "Capital"), (("France", "Paris"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Japan", "Tokyo"), ("Norway", "Oslo"))),
    ("animals and their young", ("Animal", "Young"), (("Dog", "Puppy"), ("Cat", "Kitten"), ("Cow", "Calf"), ("Horse", "Foal"), ("Sheep", "Lamb"))),
    ("animals and how many legs they have", ("Animal", "Legs"), (("Bird", "2"), ("Horse", "4"), ("Ant", "6"), ("Spider", "8"), ("Snake", "0"))),
    ("months and their days", ("Month", "Days"), (("January", "31"), ("April", "30"), ("June", "30"), ("August", "31"), ("November", "30"))),
    ("opposites", ("Word", "Opposite"), (("Hot", "Cold"), ("Big", "Small"), ("Fast", "Slow"), ("Old", "Young"), ("Day", "Night"))),
    ("jobs and their tools", ("Job", "Tool"), (("Baker", "Oven"), ("Carpenter", "Saw"), ("Painter", "Brush"), ("Farmer", "Tractor"), ("Writer", "Pen"))),
    ("numbers and their doubles", ("Number", "Double"), (("1", "2"), ("2", "4"), ("3", "6"), ("4", "8"), ("5", "10"))),
    ("seasons and their weather", ("Season", "Weather"), (("Spring", "Mild"), ("Summer", "Hot"), ("Autumn", "Windy"), ("Winter", "Cold"))),
    ("meals and drinks", ("Meal", "Drink"), (("Breakfast", "Coffee"), ("Lunch", "Water"), ("Dinner", "Tea"))),
    ("shapes and their corners", ("Shape", "Corners"), (("Circle", "0"), ("Triangle", "3"), ("Square", "4"), ("Hexagon", "6"))),
    ("a week with sport", ("Day", "Sport"), (("Monday", "Running"), ("Wednesday", "Swimming"), ("Friday", "Cycling"), ("Sunday", "Rest"))),
    ("animals and their homes", ("Animal", "Home"), (("Bee", "Hive"), ("Bird", "Nest"), ("Fox", "Den"), ("Horse", "Stable"), ("Spider", "Web"))),
    ("sports and what they need", ("Sport", "Thing"), (("Football", "Ball"), ("Tennis", "Racket"), ("Cycling", "Bicycle"), ("Golf", "Club"))),
    ("a shopping list with amounts", ("Thing", "Amount"), (("Milk", "2 bottles"), ("Eggs", "6"), ("Bread", "1 loaf"), ("Apples", "5"))),
)  # fmt: skip

WORDS: Mapping[str, tuple[str, ...]] = {
    "word": ("hello", "sun", "cat", "peace", "tree", "music", "river", "coffee", "winter", "garden", "apple", "thank you", "good luck", "welcome"),
    "line": ("The sun is warm", "I like tea", "Birds can fly", "Time is short", "Good things take time", "The sea is blue", "We are friends"),
    "title": ("My Garden", "Good Morning", "A Day at the Sea", "Winter", "My Cat", "Bread", "The Forest", "Tea"),
}  # fmt: skip
MARKED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("[Write|Show me|Say|Put|Type] [the word |]<word> in bold[ please|][.|]", "[Make|Can you make] <word> bold[.|?]"), "**<word>**"),
    (("[Write|Show me|Say|Put|Type] [the word |]<word> in italics[ please|][.|]", "[Make|Can you make] <word> italic[.|?]"), "*<word>*"),
    (("[Write|Say|Put] \"<line>\" in bold[.| please]",), "**<line>.**"),
    (("[Write|Say|Put] \"<line>\" in italics[.| please]",), "*<line>.*"),
    (("[Write|Show me|Make] \"<line>\" as a quote[.| please]", "Quote this: <line>"), "> <line>."),
    (("[Write|Show me|Make|Give me] a heading [that says|with the words|called] <title>[.| please]", "[Write|Show] <title> as a heading[.| please]"), "# <title>"),
    (("[Write|Make] a small heading [that says|called] <title>[.| please]",), "## <title>"),
    (("[Write|Put] the word <word> in [code|backticks|code style][.| please]",), "`<word>`"),
    (("Use bold for one word in a sentence[.|]", "Show me [how bold looks|a bold word|what bold text looks like][.|]"), "This is a **bold** word."),
    (("Show me [how italics look|an italic word|what italics look like][.|]",), "This is an *italic* word."),
    (("What can you format[?|]", "Show me [some|your] formatting[.|]", "Can you use Markdown?", "Show me some Markdown[.|]"), "Yes, for example:\n\n# A heading\n\n- a list\n- **bold** and *italic*\n\n> a quote"),
)  # fmt: skip
