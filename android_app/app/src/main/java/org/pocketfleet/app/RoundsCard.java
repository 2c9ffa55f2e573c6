package org.pocketfleet.app;

import android.app.Activity;
import android.view.View;
import android.widget.TableLayout;
import android.widget.TableRow;
import android.widget.TextView;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import org.pocketfleet.client.RoundLog;
import org.pocketfleet.message.Records;

/** The last rounds with their figures, and how the energy was obtained. */
final class RoundsCard implements Card {
  private static final int MOST_ROWS = 6;

  private final Activity activity;
  private final TableLayout table;
  private String shown = "";

  RoundsCard(Activity activity) {
    this.activity = activity;
    table = activity.findViewById(R.id.rounds);
    activity.findViewById(R.id.share_log).setOnClickListener(view -> share());
  }

  @Override
  public void show(Settings settings, Status status) {
    List<JsonObject> rounds;
    try {
      rounds = new RoundLog(Places.state(activity)).last(MOST_ROWS);
    } catch (IOException unreadable) {
      rounds = Collections.emptyList();
    }
    String now = rounds.toString();
    if (now.equals(shown)) {
      return;
    }
    shown = now;
    table.removeAllViews();
    activity
        .findViewById(R.id.rounds_none)
        .setVisibility(rounds.isEmpty() ? View.VISIBLE : View.GONE);
    TextView energy = activity.findViewById(R.id.energy);
    energy.setVisibility(View.GONE);
    if (!rounds.isEmpty()) {
      row(
          R.color.text,
          activity.getString(R.string.round_column),
          activity.getString(R.string.loss_column),
          activity.getString(R.string.time_column),
          activity.getString(R.string.energy_column));
    }
    for (int i = rounds.size() - 1; i >= 0; i--) {
      add(rounds.get(i));
    }
    for (JsonObject round : rounds) {
      JsonObject info = round.getAsJsonObject("info");
      JsonElement source = info.get(Records.ENERGY_SOURCE);
      if (source != null) {
        JsonElement flags = info.get(Records.ENERGY_FLAGS);
        String wrong = flags == null ? "" : flags.getAsString().replace("\n", "; ");
        energy.setText(
            "Energy: " + source.getAsString() + (wrong.isEmpty() ? "" : ". Note: " + wrong));
        energy.setVisibility(View.VISIBLE);
      }
    }
  }

  private void add(JsonObject round) {
    String kind = round.get("kind").getAsString();
    String number = round.get("round").getAsString() + (kind.equals("evaluate") ? " test" : "");
    if (round.has("problem")) {
      String problem = round.get("problem").getAsString();
      boolean declined = problem.startsWith(StatusBoard.DECLINED);
      wide(
          number
              + ": "
              + (declined
                  ? "not now, " + problem.substring(StatusBoard.DECLINED.length())
                  : problem),
          declined ? R.color.text_second : R.color.problem);
      return;
    }
    JsonObject metrics = round.getAsJsonObject("metrics");
    row(
        R.color.text_second,
        number,
        figure(metrics, kind.equals("evaluate") ? "eval-loss" : "train-loss", "%.3f"),
        String.format(Locale.ROOT, "%.1f s", round.get("seconds").getAsDouble()),
        figure(metrics, "energy-j", "%.1f J"));
  }

  /** A figure, or a dash: a client that could not measure says −1. */
  private static String figure(JsonObject metrics, String name, String format) {
    JsonElement value = metrics.get(name);
    return value == null || value.getAsDouble() < 0
        ? "–"
        : String.format(Locale.ROOT, format, value.getAsDouble());
  }

  private void row(int color, String... texts) {
    TableRow row = new TableRow(activity);
    for (int i = 0; i < texts.length; i++) {
      TextView cell = cell(texts[i], color);
      cell.setTextAlignment(i == 0 ? View.TEXT_ALIGNMENT_TEXT_START : View.TEXT_ALIGNMENT_TEXT_END);
      row.addView(cell);
    }
    table.addView(row);
  }

  private void wide(String text, int color) {
    table.addView(cell(text, color));
  }

  private TextView cell(String text, int color) {
    TextView cell = new TextView(activity);
    cell.setText(text);
    cell.setTextSize(14);
    cell.setTextColor(activity.getColor(color));
    cell.setPadding(0, 4, 8, 4);
    return cell;
  }

  private void share() {
    Settings settings = SettingsStore.load(activity);
    try {
      Share.text(activity, EventLog.text(activity, Places.results(activity, settings.results)));
    } catch (IOException error) {
      Share.text(activity, "The log cannot be read: " + error.getMessage());
    }
  }
}
