"""What people tell facts about: pets, relatives, things, food, places to put things."""


def _split(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(","))


PETS = _split(
    "cat, dog, horse, rabbit, parrot, hamster, turtle, fish, pony, goat, guinea pig, lizard, duck, snake, budgie, puppy, kitten, donkey"
)
RELATIVES = _split(
    "sister, brother, friend, mother, father, son, daughter, teacher, aunt, uncle, cousin, wife, husband, neighbour, boss, best friend, grandmother, grandfather, niece, nephew, dentist, doctor"
)
COLOURED = _split(
    "car, bike, sofa, house, coat, front door, phone, bag, scarf, boat, guitar, kitchen, umbrella, hat, van, tent, garden gate, suitcase, bedroom, jacket"
)
BRANDED = _split(
    "car, bike, phone, laptop, camera, guitar, watch, van, piano, motorbike, tractor, boat, sewing machine, radio"
)
COLOURS = _split(
    "red, blue, green, yellow, orange, purple, pink, brown, black, white, grey, silver, dark green, light blue, golden, turquoise, beige, dark red, violet"
)
FOODS = _split(
    "nuts, milk, eggs, fish, wheat, strawberries, peanuts, shrimps, soy, celery, mustard, cats, dogs, dust, pollen, bee stings, wool, apples, tomatoes, kiwis, horses, grass, sesame, penicillin"
)
LIKED = _split(
    "chess, swimming, jazz, hiking, old films, cooking, snow, long walks, crosswords, pizza, green tea, gardening, dancing, football, science fiction, the sea, mountains, sushi, painting, opera, comics, quiet mornings, board games, strong coffee, trains, baking bread, thunderstorms, bird watching, knitting, pancakes, mushrooms, olives, spinach, onions, loud music, cheese, spiders, traffic jams, cold weather, early meetings, ironing, horror films, liquorice, garlic, carrots, camping, shopping, running, puzzles, tulips, fog, winter, summer, poetry, maths, history, camels"
)
FEARS = _split(
    "spiders, snakes, the dark, heights, thunder, dogs, mice, deep water, flying, clowns, wasps, ghosts, needles, lifts, bats, crowds"
)
MEALS = _split(
    "soup, pancakes, rice with beans, noodles, fish, a pumpkin pie, lasagne, a curry, an omelette, dumplings, potato salad, pizza, a stew, tomato soup, goulash, risotto, tacos, chicken, fried eggs, an apple cake, lentils, porridge, spinach, toast with honey, pea soup, couscous"
)
MONTHS = _split(
    "January, February, March, April, May, June, July, August, September, October, November, December"
)
DAYS = _split("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday")
SPOTS = _split(
    "on the kitchen table, under the bed, in the red box, behind the sofa, in the car, on the top shelf, in the garage, next to the lamp, in my coat, in the blue bag, on the window sill, under the stairs, in the drawer, at the office, behind the clock, in the cellar, on the piano, in the garden shed"
)
KEPT = _split(
    "keys, glasses, passport, wallet, phone, ticket, book, umbrella, gloves, notebook, camera, scissors, hammer, charger, letter, headphones"
)
TRICKS = _split(
    "open doors, swim, dance, jump over a chair, roll over, sing, count to three, catch a ball, fetch the newspaper, play dead, climb trees, give a paw, ring a bell, ride a skateboard, say hello, find my keys, whistle, stand on two legs, spin around"
)
LEARNT = _split(
    "the piano, the guitar, Spanish, French, Japanese, to swim, to drive, to sew, the violin, Greek, to dance, chess, the flute, to juggle, Dutch, to cook, Swahili, the harp, to sail, the drums, Korean, to knit, to ride, Welsh"
)
BOOKED = _split(
    "dragons, the sea, old castles, bees, the moon, trains, a lost city, spies, volcanoes, wolves, a small island, pirates, Vikings, mushrooms, elephants, a clever thief, robots, ghosts, a long war, the desert"
)
COLLECTED = _split(
    "stamps, coins, shells, postcards, stones, buttons, old maps, comics, records, spoons, bottles, dolls, teapots, model trains, hats, feathers, keys, mugs, marbles, toy cars"
)
NUMBERS = _split("one, two, three, four, five, six, seven, eight, nine, ten")
COUNTED = _split("brothers, sisters, siblings, children, cousins, grandchildren, cats, hens, goats")
SHE = _split("sister, mother, daughter, aunt, wife, grandmother, niece")
HE = _split("brother, father, son, uncle, husband, grandfather, nephew")
