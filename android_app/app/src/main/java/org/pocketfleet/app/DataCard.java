package org.pocketfleet.app;

import android.app.Activity;
import android.widget.TextView;
import java.io.File;
import java.util.Locale;

/** Which data is trained on. */
final class DataCard implements Card {
  private final Activity activity;
  private final TextView data;

  DataCard(Activity activity, Runnable chooseFile, Runnable chooseFolder) {
    this.activity = activity;
    data = activity.findViewById(R.id.data);
    activity.findViewById(R.id.choose_file).setOnClickListener(view -> chooseFile.run());
    activity.findViewById(R.id.choose_folder).setOnClickListener(view -> chooseFolder.run());
  }

  @Override
  public void show(Settings settings, Status status) {
    data.setText(words(settings.data));
  }

  private String words(String path) {
    if (path.isEmpty()) {
      return activity.getString(R.string.data_none);
    }
    File file = new File(path);
    File[] classes = file.listFiles(File::isDirectory);
    if (classes != null) {
      return "Pictures in " + classes.length + " classes, copied into this app.";
    }
    return file.exists()
        ? String.format(Locale.ROOT, "File of %.1f MB, in this app.", file.length() / 1e6)
        : "The chosen data is not there any more. Choose again.";
  }

  /** Says what is going on while data is being copied, or why it could not be. */
  void say(String words) {
    data.setText(words);
  }
}
