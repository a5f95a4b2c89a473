"""What words mean, and the reasons of things, each in a sentence."""

from kvchat.training.drills.topic_words import rows, words

MEANINGS = rows("""
    chair | a piece of furniture for one person to sit on | You can sit on it.
    table | a piece of furniture with a flat top | You can eat at it.
    island | land with water all around it | Iceland is one.
    river | a long stream of water that flows to the sea or a lake | The Nile is one.
    mountain | a very high hill | Mount Everest is one.
    lake | a large body of water with land around it | You can swim in it.
    ocean | a very large sea | The Pacific is one.
    desert | a very dry place where little grows | The Sahara is one.
    forest | a large place with many trees | Deer live in it.
    volcano | a mountain that can throw out hot melted rock | Vesuvius is one.
    valley | low land between hills or mountains | A river often runs through it.
    beach | the strip of sand or stones beside the sea | Children build castles on it.
    bridge | something built over a river or road so that people can cross | Cars can drive over it.
    harbour | a safe place for ships near the land | Ships rest in it.
    village | a small place where people live, with few houses | It is smaller than a town.
    city | a very large town | London is one.
    capital | the city where a country is governed | Paris is one.
    country | a land with its own government | France is one.
    library | a place where you can read and borrow books | It is a quiet place.
    museum | a place where old or beautiful things are shown | You can see paintings in it.
    hospital | a place where sick people are cared for | Doctors and nurses work in it.
    school | a place where children learn | Teachers work in it.
    bakery | a shop where bread and cakes are made | You can smell it from the street.
    market | a place where people buy and sell things | You can buy fruit at it.
    kitchen | a room for cooking | There is a stove in it.
    garden | a piece of land where plants are grown | Flowers grow in it.
    farm | a place where food is grown and animals are kept | Cows live on it.
    zoo | a place where wild animals are kept and shown | Lions live in it.
    poem | a short text, often with rhymes | It is often about feelings.
    novel | a long story in a book | Oliver Twist is one.
    dictionary | a book that explains words | You look words up in it.
    diary | a book in which you write what happens each day | Some people write in it every evening.
    letter | a message on paper that you send to somebody | The postman brings it.
    word | a group of letters or sounds that means something | "Tree" is one.
    sentence | a group of words that says something complete | "I am here." is one.
    verb | a word for what somebody does | "Run" is one.
    noun | a word for a person, a place or a thing | "House" is one.
    adjective | a word that says what something is like | "Green" is one.
    vowel | one of the letters a, e, i, o and u | The letter A is one.
    question | a sentence that asks for an answer | "Who are you?" is one.
    rhyme | two words that end with the same sound | "Cat" and "hat" make one.
    fruit | the part of a plant with seeds, which is often sweet | An apple is one.
    vegetable | a plant or part of a plant that we eat, mostly with a meal | A carrot is one.
    insect | a small animal with six legs | A bee is one.
    mammal | an animal that feeds its young with milk | A dog is one.
    bird | an animal with feathers, wings and a beak | A robin is one.
    fish | an animal that lives in water and breathes with gills | A shark is one.
    reptile | an animal with scales that mostly lays eggs, such as a snake | A lizard is one.
    pet | an animal that lives with people at home | A cat is one.
    herd | a group of animals that live together | Cows live in one.
    flock | a group of birds or sheep | Geese fly in one.
    tool | a thing that helps you to do work | A hammer is one.
    machine | a thing with parts that move and do work | A washing machine is one.
    computer | a machine that works with information | You can write on it.
    robot | a machine that can do tasks by itself | Some of them build cars.
    engine | a machine that makes a vehicle move | A car has one.
    vehicle | a thing that carries people or goods | A bus is one.
    bicycle | a vehicle with two wheels that you move with your feet | You can ride to school on it.
    instrument | a thing that you make music with | A piano is one.
    orchestra | a large group of people who play music together | Violins play in it.
    choir | a group of people who sing together | Some of them sing in church.
    sport | a game or activity that moves the body | Football is one.
    hobby | something you like to do in your free time | Reading is one.
    holiday | a time when you do not have to work or go to school | Many people travel in it.
    birthday | the day of the year on which you were born | People get presents on it.
    breakfast | the first meal of the day | Many people eat bread for it.
    dinner | the main meal of the day | It is often hot.
    recipe | a text that says how to cook something | It says how much flour you need.
    soup | a hot liquid food | You eat it with a spoon.
    dessert | something sweet at the end of a meal | Ice cream is one.
    winter | the coldest season of the year | It often snows in it.
    week | a time of seven days | It has a Monday.
    year | a time of twelve months | It has four seasons.
    century | a time of one hundred years | It is a very long time.
    decade | a time of ten years | It is shorter than a century.
    leap year | a year with 366 days | It comes about every four years.
    calendar | a list of the days and months of a year | It hangs on many walls.
    rainbow | a band of colours in the sky when the sun shines on rain | It has red at the top.
    storm | very bad weather with strong wind | It can break trees.
    fog | a cloud close to the ground | It is hard to see in it.
    cloud | many tiny drops of water in the sky | It can bring rain.
    snow | soft white flakes of frozen water | Children build snowmen with it.
    ice | frozen water | You can skate on it.
    star | a very hot ball of gas in space | The sun is one.
    planet | a large round body that goes round a star | Mars is one.
    moon | a body that goes round a planet | The earth has one.
    telescope | an instrument for looking at things far away | You can see the stars with it.
    compass | an instrument that shows where north is | Hikers use it.
    map | a picture of a place seen from above | You can find roads on it.
    triangle | a shape with three sides | Some road signs have this shape.
    square | a shape with four equal sides and four right angles | A chess board has this shape.
    circle | a round shape | A coin has this shape.
    cube | a solid shape with six square sides | A die has this shape.
    friend | a person you like and trust | You can talk with them about everything.
    neighbour | a person who lives near you | You may meet them in the street.
    aunt | the sister of your mother or father | Your mother's sister is one.
    uncle | the brother of your mother or father | Your father's brother is one.
    cousin | a child of your aunt or uncle | Your uncle's son is one.
    nephew | the son of your brother or sister | Your sister's son is one.
    niece | the daughter of your brother or sister | Your brother's daughter is one.
    grandmother | the mother of your mother or father | Many people call her granny.
    twin | one of two children born on the same day to the same mother | Two of them often look alike.
    orphan | a child whose parents are dead | Oliver Twist is one.
    guest | a person who visits you | You may give them coffee.
    king | a man who rules a country because of his family | Arthur is one in the old tales.
    queen | a woman who rules a country, or the wife of a king | Victoria was one.
    president | the head of a country that has no king or queen | George Washington was one.
    thief | a person who steals | The police look for them.
    hero | a person who does something very brave | Somebody who saves a child is one.
    doctor | a person who helps sick people | They work in a hospital or a practice.
    baker | a person who makes bread | They get up very early.
    pilot | a person who flies a plane | They sit in the cockpit.
    astronaut | a person who travels into space | Neil Armstrong was one.
    vet | a doctor for animals | You can take a sick cat to them.
    wheel | a round thing that turns and helps vehicles move | A car has four.
    key | a small thing that opens a lock | You need it for the door.
    umbrella | a thing that keeps you dry in the rain | You open it over your head.
    candle | a stick of wax that gives light when it burns | It stands on a cake.
    pillow | a soft bag on which you lay your head | You sleep on it.
    fridge | a machine that keeps food cold | Milk stays fresh in it.
    thermometer | an instrument that shows how warm it is | It shows a fever.
    magnet | a thing that pulls iron | It sticks to a fridge.
    battery | a thing that stores electricity | A torch needs one.
    seed | the small part of a plant that a new plant grows from | A bean is one.
    root | the part of a plant under the ground | It takes up water.
    leaf | a flat green part of a plant | It falls in autumn.
    nest | the home that a bird builds | Eggs lie in it.
    egg | a thing with a shell in which a young bird grows | Hens lay it.
    wool | the hair of sheep | Sweaters are made of it.
    cotton | a soft white stuff from a plant, used to make cloth | Shirts are made of it.
    leather | the skin of animals, made ready for shoes and bags | Shoes are made of it.
    gold | a yellow metal that is worth a lot | Rings are made of it.
    money | coins and notes that you pay with | You can buy things with it.
    bank | a place that keeps money for people | You can get money from it.
    ticket | a piece of paper that lets you travel or go in | You need one for the train.
    secret | something that you do not tell to others | A hidden present is one.
    joke | a short story that makes people laugh | It has a funny end.
    dream | what you see in your mind while you sleep | A bad one wakes you up.
    mistake | something that is done wrong | Everybody makes them.
    habit | something you do again and again without thinking | Brushing your teeth is one.
    fever | when your body is too hot because you are ill | You should rest with it.
    courage | doing the right thing although you are afraid | You need it to tell the truth.
    patience | being able to wait without getting angry | You need it for fishing.
    kindness | being good and helpful to others | Helping an old man with his bag is an example.
    honesty | telling the truth | Giving back a lost purse is an example.
    hunger | what you feel when you need food | It goes away when you eat.
    thirst | what you feel when you need to drink | It goes away when you drink.
    peace | a time without war | People can live without fear in it.
    justice | when people are treated fairly | A judge should care for it.
    electricity | a kind of energy that runs through wires | Lamps need it.
    gravity | the force that pulls things down to the earth | An apple falls because of it.
    oxygen | a gas in the air that we need to breathe | Fire needs it, too.
    energy | what is needed to move things or to make heat or light | We get it from food.
    internet | a net that joins computers all over the world | Emails travel through it.
    password | a secret word that lets you in | You should not tell it to others.
    email | a letter sent from computer to computer | It arrives in seconds.
    website | a group of pages on the internet | You can read news on it.
    program | a list of steps that a computer follows | A game on a computer is one.
    keyboard | the part of a computer with the keys for typing | You write with it.
    language model | a program that writes text word by word | I am a very small one.
""")  # fmt: skip
"""Word, meaning, an example or something more."""
NO_ARTICLE = frozenset(
    words(
        "breakfast dinner winter fog snow ice wool cotton leather gold money courage patience kindness honesty hunger thirst peace justice electricity gravity oxygen energy"
    )
)
"""Words of MEANINGS that stand without `a`."""

VERB_MEANINGS = rows("""
    borrow | to take something for a time and give it back | I borrow a book from the library.
    lend | to give something for a time and get it back | I lend him my pen.
    whisper | to speak very quietly | They whisper in the library.
    shout | to speak very loudly | Do not shout in the house.
    hurry | to do something quickly | We must hurry to the train.
    wait | to stay until something happens | I wait for the bus.
    share | to give a part of what you have to others | We share the cake.
    promise | to say that you will surely do something | I promise to come.
    repair | to make a broken thing work again | He can repair my bicycle.
    build | to make something by putting parts together | They build a house.
    bake | to cook in an oven | She likes to bake bread.
    boil | to make a liquid so hot that it bubbles | Please boil some water.
    fry | to cook in hot fat | I fry an egg.
    peel | to take the skin off a fruit or vegetable | I peel the potatoes.
    plant | to put a seed or plant into the ground | We plant a tree.
    melt | to become liquid because of heat | The ice will melt in the sun.
    freeze | to become ice because of cold | The lake may freeze in winter.
    grow | to become bigger | Children grow fast.
    climb | to go up with hands and feet | The cat can climb a tree.
    hide | to put something where nobody can see it | They hide the presents.
    search | to look for something with care | I search my bag.
    find | to see or get what you were looking for | I cannot find my key.
    forget | to no longer have something in your mind | Do not forget your hat.
    remember | to keep something in your mind | I remember your name.
    explain | to make something clear to somebody | Please explain the game.
    describe | to say what something is like | Can you describe the dog?
    compare | to look at what is the same and what is different | We compare the prices.
    choose | to take one of several things | You may choose a cake.
    invite | to ask somebody to come | We invite our friends.
    greet | to say hello | I greet the neighbour.
    forgive | to stop being angry with somebody | Please forgive me.
    apologise | to say that you are sorry | I want to apologise.
    yawn | to open the mouth wide because you are tired | I always yawn in the morning.
    sneeze | to blow air out of the nose suddenly | Pepper makes me sneeze.
    swim | to move through water with your body | We swim in the lake.
    float | to stay on top of water | Wood can float.
    sink | to go down in water | A stone will sink.
    measure | to find out how long or big something is | We measure the room.
    count | to say numbers in order | She can count to ten.
    travel | to go to other places | They travel by train.
""")
"""Verb, meaning, a sentence with it."""

REASONS = rows("""
    why is the sky blue | Air scatters blue light more than other colours, so we see blue from all sides. | The air scatters blue light.
    why do leaves fall in autumn | Trees drop their leaves to save water and energy in the cold season. | To save water and energy.
    why do leaves turn yellow in autumn | The green colour in the leaves breaks down, and the yellow that was there before shows. | The green colour goes away.
    why do we sleep | We sleep so that the body and the mind can rest and repair themselves. | To rest.
    why do we eat | We eat because food gives our body energy. | To get energy.
    why do we need to drink | Our body loses water all the time, so we must drink to replace it. | To replace lost water.
    why do we breathe | We breathe to bring oxygen into the body. | To get oxygen.
    why do we sweat | We sweat because drying sweat cools the skin. | To cool the skin.
    why do we yawn | Nobody knows it for sure, but we mostly yawn when we are tired or bored. | Mostly because we are tired.
    why do we cry | We cry when strong feelings or something in the eye make tears flow. | Because of strong feelings.
    why do we brush our teeth | We brush our teeth so that they stay clean and healthy. | To keep them healthy.
    why do we wash our hands | We wash our hands to get rid of dirt and germs. | To get rid of germs.
    why do we wear coats in winter | A coat keeps the warmth of the body in. | To keep warm.
    why is it dark at night | At night our side of the earth is turned away from the sun. | We are turned away from the sun.
    why is there day and night | The earth turns round once a day, so the sun lights one side after the other. | Because the earth turns.
    why are there seasons | The axis of the earth is tilted, so each half gets more sun in one part of the year. | Because the earth is tilted.
    why is it warm in summer | In summer the sun stands high and the days are long. | The sun stands high.
    why is it cold in winter | In winter the sun stands low and the days are short. | The sun stands low.
    why does it rain | Tiny drops in the clouds join until they are so heavy that they fall. | The drops get too heavy.
    why does it snow | It snows when water in cold clouds freezes to flakes and falls. | Water freezes in the clouds.
    why is snow white | Snow scatters all the colours of light alike, and together they look white. | It scatters all colours.
    why does ice float | Ice is lighter than the same amount of water, so it floats. | It is lighter than water.
    why does wood float | Most wood is lighter than the same amount of water. | It is lighter than water.
    why is the sea salty | Rivers carry a little salt from the rocks into the sea, and it stays there. | Rivers bring salt from rocks.
    why are there waves on the sea | The wind blows over the water and makes waves. | The wind makes them.
    why do we have tides | The moon pulls at the water of the sea, and the water rises and falls. | The moon pulls the water.
    why does the moon shine | The moon has no light of its own; it reflects the light of the sun. | It reflects sunlight.
    why does the moon change its shape | We see different parts of its sunny side as it goes round the earth. | We see different parts of its sunny side.
    why is the sun hot | Deep in the sun, hydrogen turns into helium, and that sets heat free. | It makes heat deep inside.
    why do stars twinkle | Their light passes through moving air on its way to us. | Because of moving air.
    why do things fall down | Things fall because gravity pulls them to the earth. | Because of gravity.
    why do we see lightning before we hear thunder | Light is much faster than sound. | Light is faster.
    why do birds sing | Birds sing to find a partner and to keep others away. | To find a partner.
    why do birds fly south in winter | They fly south because there is more food in warm places. | To find food.
    why do birds build nests | They build nests to keep their eggs and their young safe. | To keep eggs safe.
    why do birds have feathers | Feathers keep birds warm and help them fly. | To keep warm and to fly.
    why do cats purr | Cats mostly purr when they feel well. | Mostly because they feel well.
    why do cats have whiskers | Whiskers help cats to feel things close to them, even in the dark. | To feel things.
    why do dogs wag their tails | Dogs often wag their tails when they are happy or excited. | Often because they are happy.
    why do dogs pant | Dogs pant to cool themselves. | To cool down.
    why do bees visit flowers | Bees visit flowers to collect nectar and pollen. | To collect nectar.
    why do flowers smell sweet | Their smell brings insects, which carry pollen from flower to flower. | To bring insects.
    why do plants need light | Plants use light to make their food. | To make their food.
    why are leaves green | Leaves hold a green stuff that catches the light. | Because of a green stuff in them.
    why do camels have humps | Camels store fat in their humps for times without food. | To store fat.
    why do zebras have stripes | The stripes seem to keep biting flies away, but nobody is quite sure. | Perhaps to keep flies away.
    why do giraffes have long necks | With their long necks they reach leaves high up in the trees. | To reach high leaves.
    why do fish have gills | Fish breathe in water with their gills. | To breathe in water.
    why do bears sleep in winter | Bears sleep in winter because there is little food then. | There is little food.
    why do snakes have no eyelids | A clear scale protects their eyes instead. | A clear scale protects their eyes.
    why do spiders make webs | Spiders make webs to catch insects. | To catch insects.
    why do chameleons change colour | They change colour to show their mood and to keep the right warmth. | To show their mood.
    why do owls hunt at night | Owls see and hear very well in the dark. | They see well in the dark.
    why do cows have big stomachs | Grass is hard to digest and needs a lot of room and time. | Grass is hard to digest.
    why do onions make us cry | Cut onions give off a gas that stings the eyes. | They give off a stinging gas.
    why does bread rise | Yeast makes gas in the dough, and the gas makes it rise. | Yeast makes gas.
    why does milk go bad | Tiny living things grow in it and make it sour. | Germs make it sour.
    why do we keep food in the fridge | Food stays fresh longer when it is cold. | It stays fresh longer.
    why do apples turn brown when they are cut | The air changes the juice on the cut side. | Because of the air.
    why does iron rust | Iron rusts when water and air act on it. | Because of water and air.
    why do we have bones | Bones hold the body up and protect what is inside. | To hold the body up.
    why is blood red | Blood is red because of the iron in it. | Because of iron.
    why does the heart beat | The heart beats to pump blood through the body. | To pump blood.
    why do we have two ears | With two ears we can tell where a sound comes from. | To tell where a sound comes from.
    why do we have two eyes | With two eyes we can tell how far away things are. | To see how far things are.
    why do we blink | We blink to keep our eyes wet and clean. | To keep the eyes wet.
    why do we sneeze | We sneeze to blow dust out of the nose. | To clean the nose.
    why do we shiver | We shiver because moving muscles make the body warm. | To get warm.
    why does hair turn grey | With age, hair gets less of the stuff that gives it colour. | It loses its colour with age.
    why do we have a leap year | The earth needs about a quarter of a day more than 365 days to go round the sun. | A year is a little longer than 365 days.
    why do boats float | A boat pushes water away, and the water holds it up. | The water holds it up.
    why do planes fly | The air that streams around their wings lifts them up. | The air lifts them.
    why do balloons with helium rise | Helium is lighter than air. | Helium is light.
    why do we need trees | Trees give us oxygen, wood, fruit and shade. | They give oxygen and wood.
    why do people read | People read to learn new things or to enjoy a story. | To learn and to enjoy.
    why should I exercise | Exercise keeps your heart and your muscles strong. | To stay healthy.
    why should I eat vegetables | Vegetables give your body vitamins that it needs. | For the vitamins.
    why should I get enough sleep | With enough sleep you can think well and stay healthy. | To think well.
    why is sugar bad for the teeth | Germs in the mouth turn sugar into acid, which hurts the teeth. | It becomes acid.
    why should I drink water | Your body needs water to work well. | Your body needs it.
    why should I wear a helmet | A helmet protects your head if you fall. | To protect your head.
    why do we say thank you | We say thank you to show that we are glad about what somebody did. | To be polite.
    how do birds fly | Birds fly by beating their wings, which push the air down. | With their wings.
    how do fish breathe | Fish breathe with gills, which take oxygen out of the water. | With gills.
    how do bees make honey | Bees collect nectar from flowers and let it dry in the hive until it is thick. | From nectar.
    how do plants drink | Plants take up water through their roots. | Through their roots.
    how do plants grow | Plants grow with the help of light, water and air. | With light, water and air.
    how does a caterpillar become a butterfly | It makes a hard case around itself and comes out as a butterfly. | In a hard case.
    how do bats find their way in the dark | They make high sounds and listen for the echo. | By the echo.
    how do snakes move | Snakes move by pushing their body against the ground. | By pushing with the body.
    how do dolphins breathe | Dolphins come up to the air and breathe through a hole on top of the head. | Through a hole in the head.
    how does a rainbow form | Sunlight is split into its colours by drops of rain. | Raindrops split the light.
    what causes rainbows | Rainbows appear when drops of rain split the sunlight into its colours. | Raindrops split the light.
    what causes thunder | Lightning heats the air so fast that it bangs. | Lightning heats the air.
    what causes lightning | Clouds get charged with electricity, and lightning is a big spark. | Electricity in clouds.
    what causes wind | The sun warms some places more than others, and air moves between them. | Warm and cold air.
    what causes earthquakes | Large plates of rock under the ground move and slip. | Plates of rock move.
    what causes fog | Fog forms when damp air near the ground cools. | Damp air cools.
    what causes an eclipse of the sun | The moon moves between the sun and the earth. | The moon covers the sun.
    what causes an echo | A sound comes back from a wall or a mountain. | A sound comes back.
    what causes a shadow | Something stands in the way of the light. | Light is blocked.
    where does rain come from | Rain falls from clouds, which are made of tiny drops of water. | From clouds.
    where does milk come from | Most of our milk comes from cows. | From cows.
    where does honey come from | Honey comes from bees, which make it from nectar. | From bees.
    where does paper come from | Paper is made from the wood of trees. | From trees.
    where does wool come from | Wool is the hair of sheep. | From sheep.
    where does cotton come from | Cotton comes from the cotton plant. | From a plant.
    where does silk come from | Silk comes from the cocoons of silkworms. | From silkworms.
    where does sugar come from | Sugar comes from sugar cane and sugar beets. | From cane and beets.
    where does chocolate come from | Chocolate is made from the beans of the cocoa tree. | From cocoa beans.
    where does coffee come from | Coffee is made from the roasted beans of the coffee plant. | From coffee beans.
    where does tea come from | Tea is made from the leaves of the tea plant. | From tea leaves.
    where does bread come from | Bread is baked from flour, and flour is made from grain. | From grain.
    where does leather come from | Leather is made from the skin of animals. | From animal skin.
    where do eggs come from | The eggs we eat mostly come from hens. | From hens.
    where do pearls come from | Pearls grow inside the shells of oysters. | From oysters.
    where does salt come from | Salt comes from the sea and from mines. | From the sea and mines.
    where does wood come from | Wood comes from trees. | From trees.
    where does glass come from | Glass is made by melting sand. | From sand.
    where does rubber come from | Rubber comes from the juice of rubber trees or is made from oil. | From rubber trees or oil.
    where does the water in the tap come from | It comes from rivers, lakes or the ground and is cleaned first. | From rivers, lakes or the ground.
    where does the sun go at night | The sun stays where it is, but the earth turns our side away from it. | It stays where it is.
    how does soap work | Soap loosens fat and dirt so that water can wash them away. | It loosens dirt.
    how does a fridge work | It takes the heat from inside and gives it off at the back. | It takes the heat out.
    how does a candle burn | The flame melts the wax, and the wax burns at the wick. | The wax burns.
    how does a mirror work | A mirror throws the light back, so you see yourself. | It throws light back.
    how does a magnet work | A magnet has a force that pulls iron. | It pulls iron.
    how does a thermometer work | The liquid in it needs more room when it gets warm, so it rises. | The liquid rises.
    how does a compass work | Its needle is a small magnet that turns to the north. | Its needle points north.
    how is bread made | Flour, water, salt and yeast are kneaded, left to rise and baked. | From flour in an oven.
    how is cheese made | Milk is made thick, the water is pressed out, and the rest ripens. | From thick milk.
    how is butter made | Cream is shaken or beaten until it turns into butter. | From beaten cream.
    how is wine made | Grapes are pressed, and yeast turns the sugar of the juice into alcohol. | From pressed grapes.
    how is glass made | Sand is melted with other things at great heat. | From melted sand.
""")  # fmt: skip
"""Question without its mark, answer, the same in few words."""
