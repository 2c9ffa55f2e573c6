package org.pocketfleet.app;

import android.content.Context;
import android.content.SharedPreferences;

/** Keeps {@link Settings} across processes. Nothing secret is among them. */
final class SettingsStore {
  private static final String FILE = "settings";

  private SettingsStore() {}

  /** Reads them; what was never set has its default. */
  static Settings load(Context context) {
    SharedPreferences from = preferences(context);
    Settings.Builder to = new Settings.Builder();
    to.server = from.getString("server", to.server);
    to.ca = from.getString("ca", to.ca);
    to.trust = from.getString("trust", to.trust);
    to.insecure = from.getBoolean("insecure", to.insecure);
    to.name = from.getString("name", to.name);
    to.processor = from.getString("processor", to.processor);
    to.profile = from.getString("profile", to.profile);
    to.data = from.getString("data", to.data);
    to.testData = from.getString("test-data", to.testData);
    to.bundle = from.getString("bundle", to.bundle);
    to.gated = from.getBoolean("gated", to.gated);
    to.chargingOnly = from.getBoolean("charging-only", to.chargingOnly);
    to.unmeteredOnly = from.getBoolean("unmetered-only", to.unmeteredOnly);
    to.idleOnly = from.getBoolean("idle-only", to.idleOnly);
    to.background = from.getBoolean("background", to.background);
    to.wanted = from.getBoolean("wanted", to.wanted);
    to.maxRounds = from.getLong("max-rounds", to.maxRounds);
    to.endAtMs = from.getLong("end-at-ms", to.endAtMs);
    to.results = from.getString("results", to.results);
    to.giveUpAfterS = from.getLong("give-up-after-s", to.giveUpAfterS);
    return to.build();
  }

  /** Writes them; they are on the disk when this returns, as the process may be killed next. */
  static void save(Context context, Settings settings) {
    boolean unused =
        preferences(context)
            .edit()
            .putString("server", settings.server)
            .putString("ca", settings.ca)
            .putString("trust", settings.trust)
            .putBoolean("insecure", settings.insecure)
            .putString("name", settings.name)
            .putString("processor", settings.processor)
            .putString("profile", settings.profile)
            .putString("data", settings.data)
            .putString("test-data", settings.testData)
            .putString("bundle", settings.bundle)
            .putBoolean("gated", settings.gated)
            .putBoolean("charging-only", settings.chargingOnly)
            .putBoolean("unmetered-only", settings.unmeteredOnly)
            .putBoolean("idle-only", settings.idleOnly)
            .putBoolean("background", settings.background)
            .putBoolean("wanted", settings.wanted)
            .putLong("max-rounds", settings.maxRounds)
            .putLong("end-at-ms", settings.endAtMs)
            .putString("results", settings.results)
            .putLong("give-up-after-s", settings.giveUpAfterS)
            .commit();
  }

  /** Notes whether the person wants it to run. */
  static void saveWanted(Context context, boolean wanted) {
    Settings.Builder builder = load(context).change();
    builder.wanted = wanted;
    save(context, builder.build());
  }

  private static SharedPreferences preferences(Context context) {
    return context.getSharedPreferences(FILE, Context.MODE_PRIVATE);
  }
}
