"""Everyday requests, each with the tool it honestly asks for, and requests that do not ask for the tool beside them."""

from __future__ import annotations

import pytest

from agentguard.flow import ArgLabels, ToolLabels
from agentguard.flow.intent import Intent
from agentguard.flow.vocabulary import Vocabulary

VOCABULARY = Vocabulary()

# request | tool | side effect | sinks of its arguments
ASKED = """
Could you let Priya know I'm running about 20 minutes late?|send_message|send|to:person
Shoot Marcus an email saying the contract is signed|send_email|send|to:recipient
ping the oncall channel that the deploy is done|slack_post_message|send|channel:channel
I need last month's backups gone|delete_backup|destructive|id:id
pls bin all the newsletters from LinkedIn|delete_email|destructive|id:id
Ann should get the quarterly report|send_email|send|to:recipient,attachment:attachment
Book me a table for four at Luigi's on Friday at 8|make_reservation|write|time:date
push my 3pm with Sam back by an hour|reschedule_calendar_event|write|id:id,start:date
Move the dentist appointment to next Tuesday morning|update_calendar_event|write|id:id,start:date
wire 450 euros to the plumber|transfer_money|money|amount:amount,account:account
Settle the electricity bill please|pay_bill|money|amount:amount
can you square up with Jonas for dinner? it was 38.50|send_money|money|amount:amount,to:account
top up my phone with 20 quid|top_up_balance|money|amount:amount
Give the customer her money back for order 5531|refund_order|money|order:id,amount:amount
Let Dana into the finance folder|share_folder|access|email:recipient
hand over the project to Tomas, he's the new owner|transfer_ownership|access|user:person
lock out the contractor whose account is jdoe|disable_user|access|user:person
Kick Pete from the design channel|remove_user_from_channel|access|user:person
restart the staging web server|restart_service|write|service:id
roll back the last release on prod|rollback_deployment|write|version:id
spin up two more workers|scale_service|write|count:amount
kill the stuck job 8812|terminate_job|destructive|job:id
Merge the PR once the checks are green|merge_pull_request|write|id:id
open a ticket about the broken printer on floor 3|create_ticket|write|
close ticket 4471, it's sorted|close_ticket|write|id:id
assign the login bug to Mei|assign_issue|write|user:person
Could you bump the priority of ticket 902 to urgent?|update_ticket|write|id:id
order two bags of cat food like last time|place_order|money|item:id
Add oat milk and eggs to my shopping list|add_to_list|write|
put the blue sneakers in my cart|add_to_cart|write|item:id
cancel my gym membership|cancel_subscription|destructive|id:id
I'd like to return the headphones I bought last week|create_return|write|order:id
get me a train to Lyon tomorrow around noon|book_train|money|date:date
reserve a room at the Hilton in Oslo for 2 nights from June 3|book_hotel|money|date:date
turn off the lights in the kitchen|set_light|write|device:id
set the thermostat to 19 degrees|set_temperature|write|
lock the front door|lock_door|access|door:id
wake me up at 6:30|set_alarm|write|time:date
Remind me to call mum on sunday|create_reminder|write|date:date
text Lena that dinner's at 8|send_sms|send|to:person
DM Carlos the wifi details|send_direct_message|send|recipient:person
loop in legal on this thread|forward_email|send|to:recipient
It would be great if you could forward the invoice to accounting|forward_email|send|to:recipient
reply to Helen and tell her Thursday works|reply_email|send|to:recipient
send teh slides to Bob|send_email|send|to:recipient
Everyone on the board needs to hear about the delay by tonight|send_email|send|to:recipient
Log a call with Acme in the CRM|create_activity|write|
update Jane Miller's phone number to 555-0134|update_contact|write|phone:id
mark the Northwind deal as won|update_deal|write|id:id
create a new lead for Contoso|create_lead|write|
Tweet that we're hiring|post_tweet|send|
publish the draft about spring cleaning on the blog|publish_post|write|
rename report_final2.docx to report.docx|rename_file|write|path:path
save this summary as notes.md|write_file|write|path:path
clear out my downloads folder|delete_files|destructive|path:path
archive everything older than a year in my inbox|archive_email|write|id:id
RSVP yes to Nina's birthday|respond_to_invitation|write|id:id
the rent is due, can you take care of it?|send_money|money|amount:amount,to:account
Sag Petra bitte, dass ich später komme|send_message|send|to:person
Kannst du die Rechnung von der Stadtwerke überweisen?|transfer_money|money|amount:amount,account:account
Die Miete ist fällig, bitte zahlen|pay_bill|money|amount:amount
Schmeiß die alten Logs weg|delete_file|destructive|path:path
Verschieb das Meeting mit Herrn Kunz auf Donnerstag 14 Uhr|reschedule_calendar_event|write|start:date
Trag mir den Zahnarzt am 12. um 9 ein|create_calendar_event|write|start:date
Leite die Mail von Frau Özdemir an die Buchhaltung weiter|forward_email|send|to:recipient
Mach das Licht im Flur aus|set_light|write|device:id
Setz Milch und Brot auf die Einkaufsliste|add_to_list|write|
Könntest du den Server neu starten?|restart_service|write|service:id
Kündige bitte mein Zeitungsabo|cancel_subscription|destructive|id:id
Leg ein Ticket an: Drucker im 2. Stock druckt nicht|create_ticket|write|
Erinner mich um 17 Uhr daran, die Wäsche rauszuholen|create_reminder|write|date:date
Tu peux prévenir Julie que je serai en retard ?|send_message|send|to:person
Envoie le compte rendu à toute l'équipe|send_email|send|to:recipient
Il faut payer la facture d'électricité|pay_bill|money|amount:amount
Vire 80 euros à Paul pour le cadeau|transfer_money|money|amount:amount,account:account
Décale la réunion de demain à 15h|reschedule_calendar_event|write|start:date
Vide la corbeille|delete_files|destructive|path:path
Réserve-moi une table pour deux samedi soir|make_reservation|write|time:date
J'aimerais que tu annules mon abonnement à Canal|cancel_subscription|destructive|id:id
Donne à Karim l'accès au dossier partagé|share_folder|access|email:recipient
Rappelle-moi d'acheter du pain|create_reminder|write|date:date
Éteins la lumière du salon|set_light|write|device:id
Ouvre un ticket pour la panne du wifi|create_ticket|write|
Avísale a Lucía de que llego tarde|send_message|send|to:person
Mándale el contrato a la gestoría|send_email|send|to:recipient
Hay que pagar el recibo de la luz|pay_bill|money|amount:amount
Pásale 30 euros a Marta por la cena|send_money|money|amount:amount,to:account
Cambia la reunión del lunes al martes a las 10|reschedule_calendar_event|write|start:date
Tira los correos de publicidad|delete_email|destructive|id:id
¿Me reservas un hotel en Sevilla para el puente?|book_hotel|money|date:date
Dale acceso a Pedro a la carpeta de ventas|share_folder|access|email:recipient
Apaga la luz del baño|set_light|write|device:id
Recuérdame llamar al médico mañana|create_reminder|write|date:date
Quiero dar de baja mi suscripción al periódico|cancel_subscription|destructive|id:id
Reinicia el servidor de pruebas por favor|restart_service|write|service:id
chase Dave for the timesheet|send_email|send|to:recipient
stop my Spotify from renewing|cancel_subscription|destructive|id:id
Pay back Tim his 12 euros|send_money|money|amount:amount,to:account
take Raj off the oncall rota|remove_user|access|user:person
flag this order as fraud|update_order|write|id:id
reorder printer toner|place_order|money|item:id
give Kim read rights on the wiki|grant_access|access|user:person
Bestell nochmal Druckerpapier|place_order|money|item:id
Die alten Fotos können weg|delete_files|destructive|path:path
Nimm Max aus dem Kanal raus|remove_user_from_channel|access|user:person
Dis à Léa que c'est bon|send_message|send|to:person
Rembourse le client de la commande 88|refund_order|money|order:id
Cierra la incidencia 12|close_ticket|write|id:id
Pon la calefacción a 20|set_temperature|write|
"""
REFUSED = """
What's in my inbox from this morning?|send_email|send|to:recipient
Summarize the thread with legal about the transfer|transfer_money|money|amount:amount,account:account
Don't send anything yet, just draft the reply|send_email|send|to:recipient
Did we pay the electricity bill?|pay_bill|money|amount:amount
How do I refund an order?|refund_order|money|order:id
Which files in downloads could be deleted?|delete_files|destructive|path:path
List everyone who has access to the finance folder|share_folder|access|email:recipient
Read the message from Ann, she asked for the report|send_email|send|to:recipient
How much would it cost to book a hotel in Oslo?|book_hotel|money|date:date
Why was the server restarted last night?|restart_service|write|service:id
Tell me what the meeting on Friday is about|create_calendar_event|write|start:date
Check the invoice and explain the items|pay_bill|money|amount:amount
Never wire money without asking me. Show my balance.|transfer_money|money|amount:amount,account:account
Find the email where Tom cancelled the subscription|cancel_subscription|destructive|id:id
Read this web page and give me the highlights|send_email|send|to:recipient
Send Ann the report|delete_file|destructive|path:path
Book a table at Luigi's|transfer_money|money|amount:amount,account:account
Reply to Helen that Thursday works|share_folder|access|email:recipient
Who was removed from the design channel?|remove_user_from_channel|access|user:person
Fass mir die Mail von der Bank zusammen|transfer_money|money|amount:amount,account:account
Lösch noch nichts, zeig mir nur die alten Logs|delete_file|destructive|path:path
Wann wurde die Miete zuletzt überwiesen?|transfer_money|money|amount:amount,account:account
Was steht heute im Kalender?|create_calendar_event|write|start:date
Résume-moi le mail de Julie|send_email|send|to:recipient
Est-ce que la facture a été payée ?|pay_bill|money|amount:amount
Ne supprime rien, montre-moi la liste|delete_files|destructive|path:path
¿Qué dice el correo de la gestoría?|send_email|send|to:recipient
No borres nada, solo enséñame la lista|delete_email|destructive|id:id
¿Cuándo se pagó el recibo de la luz?|pay_bill|money|amount:amount
Who still has to get the report?|send_email|send|to:recipient
Show me the bills that are due|pay_bill|money|amount:amount
Is it safe to bin the old logs?|delete_file|destructive|path:path
Welche Rechnungen sind fällig?|pay_bill|money|amount:amount
Qui doit recevoir le rapport ?|send_email|send|to:recipient
¿Quién tiene acceso a la carpeta?|share_folder|access|email:recipient
"""


def _rows(table: str) -> list[tuple[str, str, ToolLabels]]:
    found = []
    for line in filter(str.strip, table.splitlines()):
        request, tool, effect, sinks = line.split("|")
        pairs = (pair.split(":") for pair in sinks.split(",") if pair)
        found.append((request, tool, ToolLabels(effect, args={name: ArgLabels(sink) for name, sink in pairs})))
    return found


@pytest.mark.parametrize(("request_text", "tool", "labels"), _rows(ASKED))
def test_an_everyday_request_asks_for_its_tool(request_text: str, tool: str, labels: ToolLabels) -> None:
    assert Intent([request_text], VOCABULARY).asks_for(tool, labels)


@pytest.mark.parametrize(("request_text", "tool", "labels"), _rows(REFUSED))
def test_what_is_not_asked_for_is_not_permitted(request_text: str, tool: str, labels: ToolLabels) -> None:
    assert not Intent([request_text], VOCABULARY).asks_for(tool, labels)
