"""Conversations of the chat on disk: they come back whole, and what is damaged is named and stops nothing."""

import json
import os
from dataclasses import asdict, replace

import pytest
from damage import JUNK, WRONG, every_place, replaced

from workbench.core.chat import Answer, Answerer, Answers, Talk, Turn
from workbench.core.errors import WorkbenchError
from workbench.store import conversations
from workbench.store.home import home


def talk(question="Is it so?", **more):
    answers = Answers(Answer("Yes.", 2, 0.1, 9.5, "end", 12, 512), Answer("It is ✓", 4, 0.2, None, "stopped"))
    sampling = {"temperature": 0.7, "top_p": 0.95, "max_new_tokens": 64, "seed": 19}
    whole = {"right": Answerer("kind@dpo-120", 0.5), "verified": True, "system": "Be kind.", "sampling": sampling}
    return Talk((Turn(question, answers),), **whole | more)


def stored(one=None):
    kept = conversations.save(one or talk())
    return kept, home() / "conversations" / f"{kept.id}.json"


def test_who_answered_strengths_sampling_and_system_prompt_come_back():
    kept, _ = stored()
    assert conversations.read(kept.id) == kept
    assert kept == talk(id=kept.id, saved=1) and kept.id


def test_what_is_added_goes_into_the_same_file_and_that_conversation_comes_first():
    first, file = stored()
    second, _ = stored(talk("And now?"))
    assert [id for _, id in conversations.listed()] in ([first.id, second.id], [second.id, first.id])
    longer = replace(first, turns=(*first.turns, *second.turns))
    conversations.save(longer)
    os.utime(file, (4e9, 4e9))
    assert conversations.read(first.id).turns == longer.turns
    labels = conversations.listed()
    assert [id for _, id in labels] == [first.id, second.id]
    assert labels[1][0].endswith(" · And now? · base, kind, step 120 of DPO × 0.5")


def test_of_a_conversation_that_goes_on_in_two_tabs_both_ways_are_kept():
    begun, _ = stored()
    one = conversations.save(replace(begun, turns=(*begun.turns, *talk("Here?").turns)))
    other = conversations.save(replace(begun, turns=(*begun.turns, *talk("There?").turns)))
    assert one.id == begun.id != other.id
    other = conversations.save(replace(other, turns=(*other.turns, *talk("And then?").turns)))
    asked = {id: [turn.question for turn in conversations.read(id).turns] for _, id in conversations.listed()}
    assert asked == {one.id: ["Is it so?", "Here?"], other.id: ["Is it so?", "There?", "And then?"]}
    conversations.delete(one.id)
    assert conversations.save(one).id == one.id, "deleted elsewhere, it is kept again"


def test_a_file_of_a_newer_version_is_read_and_what_it_has_more_is_passed_over():
    kept, file = stored()
    value = json.loads(file.read_text())
    value["mood"], value["sampling"]["min_p"], value["left"]["voice"] = "calm", 0.1, {"pitch": 2}
    value["turns"][0]["answers"]["left"]["thoughts"] = ["hm"]
    file.write_text(json.dumps(value))
    assert conversations.read(kept.id) == kept


def test_a_file_without_what_came_later_is_read():
    kept, file = stored()
    value = json.loads(file.read_text())
    for name in ("verified", "system", "id"):
        del value[name]
    file.write_text(json.dumps(value))
    assert conversations.read(kept.id) == talk(id=kept.id, verified=None, system="", saved=1)


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_a_damaged_file_is_a_named_problem_and_the_others_are_listed(junk):
    (kept, file), (other, _) = stored(), stored()
    file.write_bytes(junk)
    with pytest.raises(WorkbenchError, match=f"The conversation {kept.id} cannot be read"):
        conversations.read(kept.id)
    labels = {id: label for label, id in conversations.listed()}
    assert labels[kept.id].endswith(f"{kept.id} cannot be read") and "Is it so?" in labels[other.id]
    conversations.delete(kept.id)
    assert [id for _, id in conversations.listed()] == [other.id]


def test_any_wrong_value_is_named_or_read_as_a_conversation_that_can_be_stored_again():
    kept, file = stored()
    value, refused = json.loads(file.read_text()), 0
    for path in every_place(value):
        for wrong in WRONG:
            file.write_text(json.dumps(replaced(value, path, wrong)))
            try:
                json.dumps(asdict(conversations.read(kept.id)), allow_nan=False)
            except WorkbenchError as error:
                assert "cannot be read" in str(error)
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("id", ["", "../choices", "20261122-000000-abcdef/..", "C:x", "20261122-000000-ABCDEF"])
def test_only_a_name_of_ours_names_a_file(id):
    for act in (conversations.read, conversations.delete):
        with pytest.raises(WorkbenchError, match="is no name of a conversation"):
            act(id)
    with pytest.raises(WorkbenchError, match="is no name of a conversation"):
        conversations.save(talk(id=id or "x"))


def test_a_deleted_conversation_is_out_of_the_list_and_can_be_taken_back():
    kept, file = stored()
    conversations.delete(kept.id)
    assert conversations.listed() == [] and not file.exists()
    with pytest.raises(WorkbenchError, match="There is no conversation"):
        conversations.read(kept.id)
    with pytest.raises(WorkbenchError, match="There is no conversation"):
        conversations.delete(kept.id)
    (home() / "trash" / file.name).rename(file)
    assert conversations.read(kept.id) == kept
