-- The scores once more, written from the sources and sharing nothing with adapter/rules/formulas.py: OPTN policy 9.1.D
-- of January 2016 and of July 2023 as the SAS macro `meld` of CU-Anschutz-DOS-CORP/sas-macros and the R package
-- ampel-leipzig/ameld have them, and the MSD Manual's table of Child-Turcotte-Pugh.
--
-- Reads the table `given`, its numbers doubles. `from_half` is how far the nearest of a case's sums up to 40 lies from
-- a half, where rounding turns.
WITH
limited AS (
    SELECT
        *,
        ln(CASE WHEN bilirubin < 1 THEN 1 ELSE bilirubin END) AS log_bilirubin,
        ln(CASE WHEN inr < 1 THEN 1 ELSE inr END) AS log_inr,
        ln(CASE WHEN dialysis OR creatinine > 4 THEN 4 WHEN creatinine < 1 THEN 1 ELSE creatinine END)
            AS log_creatinine,
        ln(CASE WHEN dialysis OR creatinine > 3 THEN 3 WHEN creatinine < 1 THEN 1 ELSE creatinine END)
            AS log_creatinine_3,
        137 - CASE WHEN sodium < 125 THEN 125 WHEN sodium > 137 THEN 137 ELSE sodium END AS sodium_deficit,
        3.5 - CASE WHEN albumin < 1.5 THEN 1.5 WHEN albumin > 3.5 THEN 3.5 ELSE albumin END AS albumin_deficit
    FROM given
),
summed AS (
    SELECT
        *,
        9.57 * log_creatinine + 3.78 * log_bilirubin + 11.2 * log_inr + 6.43 AS meld_sum,
        CASE WHEN female THEN 7.33 ELSE 6 END
            + log_bilirubin * (4.56 - 0.24 * sodium_deficit) + 0.82 * sodium_deficit
            + log_creatinine_3 * (11.14 - 1.83 * albumin_deficit) + 1.85 * albumin_deficit
            + 9.09 * log_inr AS meld_3_sum
    FROM limited
),
initial AS (
    SELECT *, floor(meld_sum + 0.5) AS meld_i FROM summed
),
with_sodium AS (
    SELECT
        *,
        CASE
            WHEN meld_i > 11 THEN meld_i + 1.32 * sodium_deficit - 0.033 * meld_i * sodium_deficit
            ELSE meld_i
        END AS meld_na_sum
    FROM initial
),
items AS (
    SELECT
        *,
        CASE unit
            WHEN 'mg/dL' THEN 1 + (reported >= 2) + (reported > 3)
            WHEN 'mg/L' THEN 1 + (reported >= 20) + (reported > 30)
            WHEN 'umol/L' THEN 1 + (reported >= 34) + (reported > 51)
            WHEN 'mmol/L' THEN 1 + (reported >= 0.034) + (reported > 0.051)
        END AS bilirubin_points,
        3 - (albumin >= 2.8) - (albumin > 3.5) AS albumin_points,
        1 + (inr >= 1.7) + (inr > 2.3) AS inr_points,
        1 + (prolonged >= 4) + (prolonged > 6) AS prolongation_points,
        CASE ascites WHEN 'none' THEN 1 WHEN 'mild' THEN 2 WHEN 'moderate_severe' THEN 3 END AS ascites_points,
        CASE encephalopathy WHEN 'none' THEN 1 WHEN 'grade_1_2' THEN 2 WHEN 'grade_3_4' THEN 3 END
            AS encephalopathy_points
    FROM with_sodium
)
SELECT
    min(40, meld_i) AS meld,
    min(40, floor(meld_na_sum + 0.5)) AS meld_na,
    min(40, floor(meld_3_sum + 0.5)) AS meld_3_0,
    bilirubin_points,
    albumin_points,
    inr_points,
    prolongation_points,
    ascites_points,
    encephalopathy_points,
    substr(
        '....AABBBCCCCCC',
        bilirubin_points + albumin_points + inr_points + ascites_points + encephalopathy_points,
        1
    ) AS class,
    min(
        abs(min(40, meld_sum) - floor(min(40, meld_sum)) - 0.5),
        abs(min(40, meld_na_sum) - floor(min(40, meld_na_sum)) - 0.5),
        abs(min(40, meld_3_sum) - floor(min(40, meld_3_sum)) - 0.5)
    ) AS from_half
FROM items
ORDER BY n
