"""What a search leaves for people and programs: ``campaign.json``, ``results.csv`` and one offline page."""
